// The journal: a list of which only what is seen is in the page, so that ten thousand events scroll as ten do.

import { html, useEffect, useLayoutEffect, useRef, useState, Empty } from "./ui.js";
import { bytes, clockTime, ranges, summary, wrong } from "./words.js";

const rowHeight = 30;

export function Journal({ events, nearest, open, setOpen, all }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const [openHeight, setOpenHeight] = useState(0);
  const atEnd = useRef(true);
  const openAt = events.findIndex((e) => e.seq === open);

  useLayoutEffect(() => {
    const element = box.current;
    const resized = new ResizeObserver(() => setView({ top: element.scrollTop, height: element.clientHeight }));
    resized.observe(element);
    return () => resized.disconnect();
  }, []);
  // Who reads the end goes on reading the end; who has scrolled up stays where he is.
  useLayoutEffect(() => {
    if (atEnd.current && !open) box.current.scrollTop = box.current.scrollHeight;
  }, [events.length]);
  useEffect(() => {
    if (openAt < 0) return;
    const top = openAt * rowHeight;
    const element = box.current;
    if (top < element.scrollTop || top > element.scrollTop + element.clientHeight - 2 * rowHeight) element.scrollTop = top - 60;
  }, [open]);

  const scrolled = () => {
    const e = box.current;
    atEnd.current = e.scrollTop + e.clientHeight > e.scrollHeight - 2 * rowHeight;
    setView({ top: e.scrollTop, height: e.clientHeight });
  };
  const extra = openAt >= 0 ? openHeight : 0;
  const first = Math.max(0, Math.floor((view.top - extra) / rowHeight) - 8);
  const last = Math.min(events.length, Math.ceil((view.top + view.height) / rowHeight) + 8);
  const rows = [];
  for (let i = first; i < last; i++) {
    const top = i * rowHeight + (openAt >= 0 && i > openAt ? extra : 0);
    rows.push(html`<${Row} key=${events[i].seq} event=${events[i]} top=${top} marked=${nearest.has(events[i].seq)} all=${all}
      isOpen=${i === openAt} toggle=${setOpen} />`);
  }
  return html`<div class=${`journal${all ? " all" : ""}`} ref=${box} onScroll=${scrolled} tabindex="0" role="region" aria-label="Journal">
    ${events.length === 0 && html`<${Empty}>Nothing has happened yet that passes the search.<//>`}
    <div class="rows" style=${{ height: `${events.length * rowHeight + extra}px` }}>
      ${rows}
      ${openAt >= 0 && html`<${Details} event=${events[openAt]} top=${(openAt + 1) * rowHeight} sized=${setOpenHeight} />`}
    </div>
  </div>`;
}

function Row({ event: e, top, isOpen, marked, all, toggle }) {
  if (e.skipped) return html`<p class="row skipped" style=${{ transform: `translateY(${top}px)` }}>${summary(e)}</p>`;
  const look = `row${wrong(e) ? " wrong" : ""}${e.on === "state" ? " change" : ""}${marked ? " nearest" : ""}`;
  return html`<button class=${look} style=${{ transform: `translateY(${top}px)` }} aria-expanded=${isOpen}
    onClick=${() => toggle(isOpen ? 0 : e.seq)}>
    <time>${clockTime(e.at)}</time>${all && html`<span class="of">${e.request || ""}</span>`}<span class="on">${e.on}</span>
    <span class="what">${summary(e)}</span>
    <span class="tags">${marked && html`<span class="tag">nearest</span>`}
      ${e.fault && html`<span class="tag fault" title=${e.fault}>${e.fault}</span>`}</span>
  </button>`;
}

// Details are all that an event has: parameters, answer, offsets, why.
function Details({ event: e, top, sized }) {
  const box = useRef(null);
  useLayoutEffect(() => {
    const resized = new ResizeObserver(() => sized(box.current.offsetHeight));
    resized.observe(box.current);
    return () => resized.disconnect();
  }, []);
  const shown = [
    ["Why", e.why], ["Fault", e.fault],
    ["Fired", e.fired && `at byte ${e.fired.at}, after ${e.fired.received} bytes in and ${e.fired.sent} out`],
    ["Call", e.method && `${e.method} ${e.path}`], ["Client", e.user_agent || e.client],
    ["Answer", e.method && (e.status ? `HTTP ${e.status}, ${bytes(e.sent || 0)}` : "the connection broke before")],
    ["Failures", e.failures && e.failures.join(", ")], ["State", e.state],
    ["Retry after", e.retry_after_ns && `${e.retry_after_ns / 1e9} s`], ["Took", e.duration_ns && `${(e.duration_ns / 1e6).toFixed(1)} ms`],
    ["User", e.user], ["Key", e.public_key], ["Session", e.session && `${e.session}${e.handle ? `, handle ${e.handle}` : ""}`],
    ["Operation", e.op], ["File", !e.method && e.path], ["Flags", e.flags], ["Size", e.size && `${e.size} bytes`],
    ["Offset", e.offset], ["Received", e.received && `${e.received} bytes`], ["Written", e.written && ranges(e.written)],
    ["Read", e.read && ranges(e.read)], ["Checksum", e.checksum], ["Command", e.rsync && e.rsync.command],
    ["Key in", e.key_in], ["Contract", e.contract], ["Scenario", e.scenario], ["At", e.at], ["Number", e.seq],
  ].filter(([, value]) => value);
  return html`<div class="details" ref=${box} style=${{ transform: `translateY(${top}px)` }}>
    <dl>${shown.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}
      ${Object.entries(e.params || {}).map(([name, value]) => html`<dt class="param">${name}</dt><dd><code>${value}</code></dd>`)}
    </dl>
    ${e.rsync && e.rsync.files && html`<ul class="plain">${e.rsync.files.map((f) => html`<li><code>${f.name}</code> ${bytes(f.size)},
      ${f.skipped ? "was there" : `${bytes(f.sent)} sent`}</li>`)}</ul>`}
  </div>`;
}
