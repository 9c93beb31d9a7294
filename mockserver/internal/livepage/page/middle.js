// What there is of one request, or of everything.

import { get } from "./api.js";
import { html, Copy, Empty, Pill, Secret, Tabs } from "./ui.js";
import { bytes, clockTime, dayAndTime, summary, wrong } from "./words.js";
import { Actions, saveCapsule } from "./actions.js";
import { Journal } from "./journal.js";
import { Transfer } from "./transfer.js";

const ofOne = ["Timeline", "Journal", "Transfer", "Files", "Expect", "Raw"];

export function Middle(props) {
  const { about, one, chosen, choose, tab, setTab, shown, open, setOpen, say, events } = props;
  if (!chosen) {
    if (about.requests === 0 && events.length === 0) return html`<main class="middle"><${Welcome} about=${about} say=${say} /></main>`;
    return html`<main class="middle"><div class="heading"><h2>Everything</h2><span class="dim num">${shown.length} events</span>
      <span class="push"></span><button class="quiet" onClick=${() => saveCapsule(null, props.act)} title="All that happened, for upgrademock replay">Download capsule</button></div>
      <${Journal} key="all" all events=${shown} nearest=${new Set()} open=${open} setOpen=${setOpen} /></main>`;
  }
  if (!one) return html`<main class="middle"><div class="heading"><h2 class="num">${chosen}</h2><span class="dim">Loading …</span></div></main>`;
  const { request: r, verdicts } = one;
  const nearest = new Set(verdicts.filter((v) => v.verdict === "fail" && v.nearest).map((v) => v.nearest));
  const full = () => get(`requests/${r.id}?view=full`).then((answer) => answer.key || answer.token);
  const present = ofOne.includes(tab) ? tab : "Timeline";
  const panel = {
    Timeline: () => html`<${Timeline} timeline=${one.timeline} />`,
    Journal: () => html`<${Journal} key=${r.id} events=${shown} nearest=${nearest} open=${open} setOpen=${setOpen} />`,
    Transfer: () => html`<${Transfer} events=${events} request=${r} showEvent=${props.showEvent} />`,
    Files: () => html`<${Files} request=${r} files=${one.files} />`,
    Expect: () => html`<${Expect} verdicts=${verdicts} showEvent=${props.showEvent} />`,
    Raw: () => html`<${Raw} status=${r.status} before=${one.before} say=${say} />`,
  }[present];
  return html`<main class="middle"><div class="heading">
      <button class="quiet back" onClick=${() => choose(0)}>Requests</button>
      <h2 class="num">${r.id}</h2><${Pill} state=${r.state} />
      <span class="dim">${r.contract}</span><span class="dim">${r.scenario}</span>
      <span class="push"></span>
      <span class="dim">${r.api === "script" ? "token" : "key"}</span><${Secret} hidden=${r.key || r.token} full=${full} say=${say} />
    </div>
    <${Trouble} verdicts=${verdicts} events=${events} showEvent=${props.showEvent} setTab=${setTab} />
    <${Tabs} names=${ofOne} chosen=${present} choose=${setTab} label="Views of the request" />
    <div class="panel ${present.toLowerCase()}" role="tabpanel" aria-label=${present} tabindex=${present === "Journal" ? undefined : 0}>${panel()}</div>
  </main>
  <${Actions} ...${props} request=${r} timeline=${one.timeline} files=${one.files} />`;
}

// Trouble is where to look first: what the client did otherwise than expected, or else what went wrong last.
function Trouble({ verdicts, events, showEvent, setTab }) {
  const unmet = verdicts.filter((v) => v.verdict === "fail");
  const bad = events.findLast(wrong);
  const last = bad || (unmet.length > 0 && events.find((e) => e.seq === unmet[0].nearest));
  if (!unmet.length && !last) return null;
  const told = last && summary(last);
  return html`<div class=${`trouble${bad ? "" : " soft"}`}>
    ${unmet.length > 0 && html`<p><b>${unmet.length === 1 ? "An expectation is not met so far" : `${unmet.length} expectations are not met so far`}:</b> ${unmet[0].hint || unmet[0].wanted}
      ${" "}<button class="link" onClick=${() => setTab("Expect")}>Show ${unmet.length === 1 ? "it" : "them"}</button></p>`}
    ${last && html`<p>${bad ? "Went wrong last:" : "Nearest to it:"} ${clockTime(last.at)} <code>${last.on}</code> ${told}${last.fault && !told.includes(last.fault) ? `, ${last.fault}` : ""}
      ${" "}<button class="link" onClick=${() => showEvent(last.seq)}>Show the event</button></p>`}
  </div>`;
}

// Welcome says how to begin.
function Welcome({ about, say }) {
  const of = (...names) => names.map((name) => about.listeners.find((l) => l.name === name)).find(Boolean);
  const base = (of("http", "https") || { address: "" }).address;
  const secure = (of("https", "http") || { address: "" }).address;
  const commands = [
    ["Run a program unmodified", "upgrademock exec -- ./my-client.sh"],
    ["Run the upgrade script", `UPGRADE_SERVER_NAME=${secure} SSL_CERT_FILE=${about.ca_file} python3 upgrade test -i db.zip -c M123456-abcdef -t 17.0`],
    ["Make a request by hand", `curl -sS "${base}/database/v1/create?contract=M123456-abcdef&email=john.doe@example.com&target=8.0&aim=test&filename=db.dump"`],
  ];
  return html`<div class="welcome"><h2>Waiting for the first request</h2>
    <p class="dim">It appears here as soon as a client makes it.</p>
    ${commands.map(([name, line]) => html`<section><h3>${name}</h3><div class="command"><pre tabindex="0">${line}</pre><${Copy} text=${line} label="Copy" title=${`Copy: ${name}`} say=${say} /></div></section>`)}
  </div>`;
}

function Timeline({ timeline: t }) {
  const word = { past: "past", present: "now", next: "to come", left: "left" };
  return html`<ol class="steps">
    <li class=${t.processed_at ? "past" : "present"}><i></i><div><b>process</b> <span class="dim">
      ${t.processed_at ? `was called at ${clockTime(t.processed_at)}` : "has not been called yet: the client's turn"}</span></div></li>
    ${t.steps.map((s) => html`<li key=${s.index} class=${s.is}><i></i><div>
      <${Pill} state=${s.state} /> <span class="dim">${s.for === "released" ? "until it is released" : s.for ? `for ${s.for}` : "to the end"}</span>
      ${s.of > 0 && (s.is === "present" || s.is === "left") && html` <span class="num polls">poll ${s.polls || 0} of ${s.of}</span>`}
      <span class="when num">${s.is === "next" ? s.began ? `due ${dayAndTime(s.began)}` : "" : s.began ? clockTime(s.began) : ""}
        ${s.is === "present" && s.due ? ` until ${dayAndTime(s.due)}` : ""}</span>
      <span class="offscreen">${word[s.is]}</span>
      ${s.set && html`<div class="dim set">${Object.entries(s.set).map(([k, v]) => html`<code>${k}: ${JSON.stringify(v)}</code> `)}</div>`}
    </div></li>`)}
    ${t.forced && html`<li class="present forced"><i></i><div><${Pill} state=${t.forced.state} /> <span class="dim">by hand, outside the scenario</span>
      <span class="when num">${clockTime(t.forced.at)}</span></div></li>`}
  </ol>
  <h3>Faults</h3>
  ${t.faults.length === 0 ? html`<${Empty}>The scenario ${t.scenario} has none.<//>` : html`<table><thead><tr><th scope="col">#</th><th scope="col">Fault</th><th scope="col">Is</th><th scope="col" class="num">Met</th><th scope="col" class="num">Used</th></tr></thead>
    <tbody>${t.faults.map((f) => html`<tr class=${f.is}><td class="num">${f.index < 0 ? "by hand" : f.index}</td><td>${f.does}</td>
      <td>${f.used > 0 && f.is === "armed" ? "armed, triggered" : f.is === "spent" ? "triggered, spent" : f.is}${f.is === "shadowed" ? ` by ${f.by}` : ""}</td>
      <td class="num">${f.met}</td><td class="num">${f.used}${f.times ? ` of ${f.times}` : ""}</td></tr>`)}</tbody></table>`}`;
}

function Files({ request, files }) {
  if (files.length === 0) return html`<${Empty}>There are no files yet: the dump has not arrived.<//>`;
  return html`<table><thead><tr><th scope="col">File</th><th scope="col">What</th><th scope="col" class="num">Size</th><th scope="col">Checksum</th></tr></thead>
    <tbody>${files.map((f) => html`<tr key=${f.path}><td><a href=${`requests/${request.id}/files/${f.path.split("/").map(encodeURIComponent).join("/")}`} download=${f.name}>${f.name}</a></td>
      <td>${f.kind}</td><td class="num" title=${f.size === null ? "known once it was read" : `${f.size} bytes`}>${f.size === null ? "–" : bytes(f.size)}</td>
      <td>${f.checksum && html`<code>${f.checksum}</code>`}</td></tr>`)}</tbody></table>
    <p class="note">Downloads here are none of a client's: neither faults nor the journal know of them.</p>`;
}

function Expect({ verdicts, showEvent }) {
  if (verdicts.length === 0) return html`<${Empty}>The scenario expects nothing of the client.<//>`;
  return html`<ul class="verdicts">${verdicts.map((v) => html`<li key=${v.expect} class=${v.verdict}>
    <span class="pill ${{ pass: "good", fail: "bad", unjudged: "idle" }[v.verdict]}">${v.verdict}</span>
    <div><b>${v.expect}</b> <span class="dim">wanted ${v.wanted}</span>
      ${v.saw && html`<p>Seen: ${v.saw}</p>`}${v.hint && html`<p>${v.hint}</p>`}
      ${v.nearest > 0 && html`<button class="link" onClick=${() => showEvent(v.nearest)}>Show the nearest event</button>`}</div></li>`)}</ul>`;
}

// Raw is what status answers, and what the latest change of that was.
function Raw({ status, before, say }) {
  const text = JSON.stringify(status, null, 2);
  const changed = before ? Object.keys({ ...before, ...status }).filter((k) => JSON.stringify(before[k]) !== JSON.stringify(status[k])) : [];
  return html`<h3>Difference to the answer before</h3>
    ${!before ? html`<${Empty}>It appears when a poll is answered otherwise.<//>`
      : html`<pre class="diff" tabindex="0">${changed.map((k) => html`<del>- ${k}: ${JSON.stringify(before[k])}</del><ins>+ ${k}: ${JSON.stringify(status[k])}</ins>`)}</pre>`}
    <h3>What status answers now <${Copy} text=${text} label="Copy" title="Copy the answer" say=${say} /></h3>
    <pre tabindex="0">${text}</pre>`;
}

