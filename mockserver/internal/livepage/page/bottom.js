// The bottom: SSH sessions, and the scenarios in use with their editor.

import { call, get } from "./api.js";
import { html, Empty, Sure, useEffect, useRef, useState } from "./ui.js";
import { bytes } from "./words.js";

export function Bottom({ sessions, act, choose }) {
  const [tab, setTab] = useState("");
  const toggle = (name) => setTab(tab === name ? "" : name);
  return html`<footer class=${tab ? "open" : ""}>
    <div class="bar-tabs">
      <button aria-expanded=${tab === "sessions"} onClick=${() => toggle("sessions")}>Sessions <span class="count num">${sessions.length}</span></button>
      <button aria-expanded=${tab === "scenarios"} onClick=${() => toggle("scenarios")}>Scenarios</button>
      <span class="push"></span><span class="dim keys">j k next and previous · r release · e export · / search</span>
    </div>
    ${tab === "sessions" && html`<${Sessions} sessions=${sessions} act=${act} choose=${choose} />`}
    ${tab === "scenarios" && html`<${Scenarios} act=${act} />`}
  </footer>`;
}

function Sessions({ sessions, act, choose }) {
  if (sessions.length === 0) return html`<div class="drawer"><${Empty}>No client is connected over SSH.<//></div>`;
  return html`<div class="drawer"><table><thead><tr><th scope="col">Session</th><th scope="col">Request</th><th scope="col">User</th><th scope="col">Client</th><th scope="col">Key</th>
    <th scope="col">Moves</th><th scope="col" class="num">Offset</th><th scope="col" class="num">Rate</th><th scope="col">Steer</th></tr></thead>
    <tbody>${sessions.map((s) => html`<${Session} key=${s.kind + s.session} s=${s} act=${act} choose=${choose} />`)}</tbody></table></div>`;
}

function Session({ s, act, choose }) {
  const [at, setAt] = useState("1MiB");
  const path = `sessions/${s.kind}/${s.session}`;
  const cut = (e) => {
    e.preventDefault();
    act(() => call("POST", `${path}/cut`, { at }), `Session ${s.session} will be cut at ${at}.`);
  };
  return html`<tr><td class="num">${s.kind} ${s.session}</td>
    <td>${s.request ? html`<button class="link num" onClick=${() => choose(s.request)}>${s.request}</button>` : "–"}</td>
    <td>${s.user}</td><td>${s.client}</td><td><code title=${s.public_key}>${(s.public_key || "").slice(0, 19)}${s.public_key ? "…" : ""}</code></td>
    <td>${s.moves} ${s.path}</td><td class="num" title=${`${s.offset} bytes`}>${bytes(s.offset)}</td><td class="num">${bytes(s.rate)}/s</td>
    <td class="steer"><${Sure} label="Disconnect" sure="Disconnect?" run=${() => act(() => call("DELETE", path), `Session ${s.session} is gone.`)} />
      <form onSubmit=${cut}><input aria-label="Cut at byte" value=${at} onInput=${(e) => setAt(e.target.value)} size="7" /><button>Cut</button></form></td></tr>`;
}

function Scenarios({ act }) {
  const [list, setList] = useState([]);
  const [builtin, setBuiltin] = useState([]);
  const [edited, edit] = useState(null); // {name, text}
  const load = () => get("scenarios").then((answer) => setList(answer.scenarios), () => {});
  useEffect(() => {
    load();
    get("builtin").then((answer) => setBuiltin(answer.scenarios), () => {});
  }, []);
  const change = async (action, done) => {
    const result = await act(action, done);
    await load();
    return result;
  };
  const add = async (e) => {
    const name = e.target.value;
    e.target.value = "";
    if (name) await change(async () => call("POST", "scenarios", await get(`builtin/${name}`)), `${name} drives requests from now on.`);
  };
  const begin = "name: my-scenario\nsteps:\n  - {state: pending, for: 1 poll}\n  - {state: done}\n";
  return html`<div class="drawer scenarios"><div>
    <div class="line"><button onClick=${() => edit({ name: "a new scenario", text: begin })}>New scenario</button>
      <label><span class="offscreen">Add a built-in scenario</span><select onChange=${add}><option value="">Add a built-in scenario …</option>
        ${builtin.map((s) => html`<option value=${s.name} title=${s.description}>${s.name}</option>`)}</select></label></div>
    ${list.length === 0 ? html`<${Empty}>None is in use: requests are pending for a poll, in work for a poll, then done.<//>` : html`<p class="note">The first that matches a request drives it.</p>`}
    <ol class="plain">${list.map((s) => html`<li key=${s.name}><b>${s.name}</b> <span class="dim">${s.description}</span>
      ${s.when && html`<code>${Object.entries(s.when).map(([k, v]) => `${k}: ${v}`).join(", ")}</code>`}
      <span class="push"></span>
      <button class="quiet" onClick=${() => act(async () => edit({ name: s.name, text: await get(`scenarios/${encodeURIComponent(s.name)}`) }))}>Edit</button>
      <${Sure} label="Remove" sure="Remove?" run=${() => change(() => call("DELETE", `scenarios?name=${encodeURIComponent(s.name)}`), `${s.name} is out of use.`)} /></li>`)}</ol></div>
    ${edited && html`<${Editor} key=${edited.name} edited=${edited} change=${change} close=${() => edit(null)} />`}</div>`;
}

// Editor checks a scenario while it is written, and puts it into use.
function Editor({ edited, change, close }) {
  const [text, setText] = useState(edited.text);
  const [problem, setProblem] = useState(null);
  const area = useRef(null);
  useEffect(() => {
    let old = false;
    const timer = setTimeout(async () => {
      try {
        await call("POST", "scenarios/check", text);
        if (!old) setProblem(null);
      } catch (p) {
        if (!old) setProblem(p);
      }
    }, 250);
    return () => {
      old = true;
      clearTimeout(timer);
    };
  }, [text]);
  const goTo = ({ line, column }) => {
    const lines = text.split("\n");
    const at = lines.slice(0, line - 1).reduce((n, l) => n + l.length + 1, 0) + Math.max(0, column - 1);
    area.current.focus();
    area.current.setSelectionRange(at, at + 1);
  };
  const use = async () => {
    const done = await change(() => call("POST", "scenarios", text), "The scenario drives requests from now on.");
    if (done) close();
  };
  const sentence = (m) => `${m.path ? `${m.path}: ` : ""}${m.message}${m.nearest ? `, did you mean ${m.nearest}?` : m.expected ? `; expected ${m.expected.join(", ")}` : ""}`;
  return html`<section class="editor"><label>Editing ${edited.name}<textarea ref=${area} value=${text} spellcheck="false" onInput=${(e) => setText(e.target.value)} rows="12"></textarea></label>
    <ul class="plain mistakes" aria-live="polite">${problem && (problem.mistakes.length ? problem.mistakes : [{ message: problem.message }]).map((m) => html`<li>
      ${m.line ? html`<button class="link num" onClick=${() => goTo(m)}>${m.line}:${m.column}</button> ` : ""}${sentence(m)}</li>`)}
      ${!problem && html`<li class="fine">Nothing is wrong with it.</li>`}</ul>
    <div class="line"><button class="main" onClick=${use}>Put into use</button><button onClick=${close}>Close</button></div></section>`;
}
