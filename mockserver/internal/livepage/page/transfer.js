// The map of a transfer: what of the file has arrived, where holes are, where a fault struck, what was sent again.

import { html, Empty } from "./ui.js";
import { bytes, clockTime } from "./words.js";

// attempts are the uploads and downloads of the journal, each with the stretches of the file that went.
export function attempts(events) {
  const list = [];
  for (const e of events) {
    const down = e.on === "download" || e.on === "rsync.download";
    const base = { seq: e.seq, at: e.at, on: e.on, fault: e.fault, why: e.why, size: e.size || 0, down };
    if (e.on === "sftp.close" || e.on === "sftp.abort") {
      const went = e.written || e.read;
      if (!went) continue;
      list.push({ ...base, down: !e.written, who: `session ${e.session}`, went, broke: e.on === "sftp.abort", fired: e.fired });
    } else if (e.on === "upload" || e.on === "upgrade") {
      const n = e.received || (e.fired && e.fired.received) || 0;
      list.push({ ...base, who: e.method, went: n ? [{ from: 0, to: n }] : [], broke: !e.status || Boolean(e.failures), fired: e.fired });
    } else if (e.on === "download") {
      list.push({ ...base, who: e.method, went: e.sent ? [{ from: 0, to: e.sent }] : [], broke: !e.status, fired: e.fired });
    } else if (e.rsync && /^rsync\.(up|down)load$/.test(e.on)) {
      list.push({ ...base, who: `session ${e.session}`, went: [], rsync: e.rsync, broke: e.rsync.exit !== 0, fired: e.fired });
    }
  }
  return list;
}

// split takes the stretches apart into those that went for the first time and those that went again.
export function split(went, before) {
  const fresh = [];
  const again = [];
  for (const { from, to } of went) {
    let at = from;
    for (const b of before) {
      if (b.to <= at || b.from >= to) continue;
      if (b.from > at) fresh.push({ from: at, to: b.from });
      again.push({ from: Math.max(at, b.from), to: Math.min(to, b.to) });
      at = Math.min(to, b.to);
    }
    if (at < to) fresh.push({ from: at, to });
  }
  return { fresh, again };
}

// join is both lists as one, ascending and without overlaps.
export function join(a, b) {
  const joined = [];
  for (const r of [...a, ...b].sort((x, y) => x.from - y.from)) {
    const last = joined[joined.length - 1];
    if (last && r.from <= last.to) last.to = Math.max(last.to, r.to);
    else joined.push({ ...r });
  }
  return joined;
}

export function Transfer({ events, request, showEvent }) {
  const list = attempts(events);
  if (list.length === 0) return html`<${Empty}>No file has gone up or down yet.<//>`;
  const end = Math.max(1, request.dump_size, request.shared_size,
    ...list.map((a) => Math.max(a.rsync ? 0 : a.size, ...a.went.map((r) => r.to), a.fired ? a.fired.at + 1 : 0)));
  let there = [];
  let fetched = [];
  return html`<div class="transfer">
    <p class="legend"><i class="fresh"></i>arrived <i class="again"></i>sent again <i class="kept"></i>was there
      <i class="hole"></i>missing
      <i class="strike"></i>fault</p>
    ${list.map((a) => {
      if (a.rsync) return html`<${Rsync} key=${a.seq} attempt=${a} showEvent=${showEvent} />`;
      const before = a.down ? fetched : there;
      const { fresh, again } = split(a.went, before);
      if (a.down) fetched = join(before, a.went);
      else there = a.on.startsWith("sftp") ? join(before, a.went) : a.broke ? before : a.went;
      const from = a.went.length ? a.went[0].from : 0;
      return html`<section class="attempt" key=${a.seq}>
        <${Head} a=${a} showEvent=${showEvent}>
          ${from > 0 && html`<span class="tag">resumed at ${from}</span>`}
          ${a.broke && html`<span class="tag fault">broke off</span>`}
          <span class="num">${bytes(a.went.reduce((n, r) => n + r.to - r.from, 0))} of ${bytes(end)}</span>
        <//>
        <div class="bar" role="img" aria-label=${`bytes ${a.went.map((r) => `${r.from} to ${r.to}`).join(", ") || "none"} of ${end}`}>
          ${a.on.startsWith("sftp") && before.map((r) => html`<b class="kept" style=${place(r, end)}></b>`)}
          ${fresh.map((r) => html`<b class="fresh" style=${place(r, end)}></b>`)}
          ${again.map((r) => html`<b class="again" style=${place(r, end)}></b>`)}
          ${a.fired && html`<b class="strike" style=${{ left: `${(100 * a.fired.at) / end}%` }} title=${a.fault}></b>`}
        </div>
        ${a.fault && html`<p class="note">${a.fault}</p>`}
      </section>`;
    })}
  </div>`;
}

const count = (n) => `${n} ${n === 1 ? "file" : "files"}`;

const place = (r, end) => ({ left: `${(100 * r.from) / end}%`, width: `${Math.max(0.3, (100 * (r.to - r.from)) / end)}%` });

function Head({ a, showEvent, children }) {
  return html`<h3><button class="link" onClick=${() => showEvent(a.seq)}>${clockTime(a.at)} ${a.on}</button>
    <span class="dim">${a.who}</span> ${children}</h3>`;
}

// Rsync is a run of rsync, file by file.
function Rsync({ attempt: a, showEvent }) {
  const files = a.rsync.files || [];
  return html`<section class="attempt">
    <${Head} a=${a} showEvent=${showEvent}>
      ${a.broke && html`<span class="tag fault">${a.rsync.exit < 0 ? "broke off" : `exit ${a.rsync.exit}`}</span>`}
      <span class="num">${count(a.rsync.count)}, ${a.rsync.skipped || 0} there before, ${bytes(a.size)}</span>
    <//>
    ${a.fault && html`<p class="note">${a.fault}${a.fired && `, at byte ${a.fired.at}`}</p>`}
    ${files.map((f) => html`<div class="file"><code>${f.name}</code>
      <div class="bar"><b class=${f.skipped ? "kept" : "fresh"}
        style=${{ left: "0", width: `${f.size ? Math.max(0.3, (100 * (f.skipped ? f.size : f.sent)) / f.size) : 100}%` }}></b></div>
      <span class="num">${f.skipped ? "was there" : `${bytes(f.sent)} of ${bytes(f.size)}`}</span></div>`)}
    ${a.rsync.count > files.length && html`<p class="note">and ${a.rsync.count - files.length} more</p>`}
  </section>`;
}
