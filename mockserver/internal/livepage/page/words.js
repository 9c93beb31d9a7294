// Events, sizes and times in words.

export function bytes(n) {
  if (n === undefined || n === null) return "";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${unit ? n.toFixed(n < 10 ? 1 : 0) : n} ${units[unit]}`;
}

export const clockTime = (at) => (at ? new Date(at).toISOString().slice(11, 19) : "");
export const dayAndTime = (at) => (at ? new Date(at).toISOString().slice(0, 19).replace("T", " ") : "");

// span is a number of milliseconds, shortly.
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d`;
}

export const ago = (ms) => (ms < 1000 ? "just now" : `${span(ms)} ago`);

// kind is which colour a state has.
export function kind(state) {
  if (/^(done|delivered)$/.test(state)) return "good";
  if (/^(processing|progress|testing|running)$/.test(state)) return "busy";
  if (/^(pending|waiting|queued)$/.test(state)) return "wait";
  if (/^(draft|new)$/.test(state)) return "idle";
  if (/fail|invalid|error|refus|abort|cancel/.test(state)) return "bad";
  return "other";
}

// summary says what an event is about, in one line.
export function summary(e) {
  const parts = [];
  if (e.skipped) return `${e.skipped.toLocaleString("en")} events are left out here: more happens than a page can show`;
  if (e.on === "state") return `${e.from} → ${e.to}`;
  if (e.method) parts.push(e.status ? `${e.method} ${e.status}` : `${e.method}, broken off`);
  if (e.failures) parts.push(e.failures.join(", "));
  else if (e.state) parts.push(e.state);
  if (e.on === "unknown") parts.push(e.path);
  if (e.user && !e.method && /login|refused|offered/.test(e.on)) parts.push(e.user);
  if (e.client && /connect$/.test(e.on)) parts.push(e.client);
  if (e.op && !e.method) parts.push(e.op);
  if (/open$/.test(e.on)) parts.push(e.path, e.flags, bytes(e.size || 0));
  if (e.received) parts.push(`${bytes(e.received)} in`);
  if (e.written) parts.push(`wrote ${ranges(e.written)}`);
  if (e.read) parts.push(`read ${ranges(e.read)}`);
  if (e.rsync) parts.push(`${e.rsync.count} ${e.rsync.count === 1 ? "file" : "files"}, ${e.rsync.exit < 0 ? "broken off" : `exit ${e.rsync.exit}`}`);
  if (e.why && parts.length < 2) parts.push(e.why);
  return parts.join(" · ");
}

export const ranges = (list) => list.slice(0, 3).map((r) => `${r.from}–${r.to}`).join(", ") + (list.length > 3 ? " …" : "");

// wrong reports whether an event is one that stands out.
export const wrong = (e) => Boolean(e.fault || (e.failures && e.failures.length) || e.on === "unknown" || e.status >= 400 ||
  /abort|refused|denied/.test(e.on));

// routine reports whether an event changes nothing but its own request: a poll that was answered.
export const routine = (e) => /(^|\.)status$/.test(e.on) && !e.fault && !e.failures;

// Filters of the search box.
export const filters = ["request", "contract", "on", "fault", "state"];

// parseSearch takes a search apart: {request: "10534", …, text: [words], unknown: [words]}.
export function parseSearch(text) {
  const search = { text: [], unknown: [] };
  for (const word of text.toLowerCase().split(/\s+/).filter(Boolean)) {
    const colon = word.indexOf(":");
    const name = word.slice(0, colon);
    if (colon > 0 && filters.includes(name)) search[name] = word.slice(colon + 1);
    else if (/^[a-z]+:/.test(word) && !/^[a-z]+:\/\//.test(word)) search.unknown.push(name);
    else search.text.push(word);
  }
  return search;
}

// searchText is a search as the control API takes it, without what nobody knows.
export const searchText = (s) => [...filters.filter((f) => s[f] !== undefined).map((f) => `${f}:${s[f]}`), ...s.text].join(" ");

const has = (value, part) => part === undefined || String(value ?? "").toLowerCase().includes(part);

// An event as text, which is made once.
const texts = new WeakMap();
function textOf(e) {
  if (!texts.has(e)) texts.set(e, JSON.stringify(e).toLowerCase());
  return texts.get(e);
}

export const eventPasses = (e, s) => has(e.request, s.request) && has(e.contract, s.contract) && has(e.on, s.on) &&
  (s.fault === undefined || (Boolean(e.fault) && has(e.fault, s.fault))) && (s.state === undefined || has(e.state || e.to, s.state)) &&
  s.text.every((t) => textOf(e).includes(t));
