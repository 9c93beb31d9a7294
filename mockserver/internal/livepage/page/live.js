// What the page knows of the emulator, and how it stays up to date.

import { get, watch } from "./api.js";
import { useEffect, useRef, useState } from "./ui.js";
import { routine, searchText } from "./words.js";

const pageSize = 50;
const mostEvents = 20000; // that are kept here; the emulator keeps 10,000 by default
const idle = 2000; // milliseconds between two looks while nothing happens
const asleep = 10000; // the same of a page that nobody sees
// Each event has what is shown asked for again 60 ms later, within bounds: at once where little happens, and every two
// seconds where much does, so that many pages cost the emulator little.
const soon = (events) => Math.min(2000, Math.max(200, 60 * events));

// useLive is a value and its setter, and a reference to what it is now, for callbacks that outlive a drawing.
export function useLive(initial) {
  const [value, set] = useState(initial);
  const now = useRef(value);
  now.current = value;
  return [value, set, now];
}

// useHidden reports whether nobody sees the page.
function useHidden() {
  const [hidden, setHidden] = useState(document.hidden);
  useEffect(() => {
    const changed = () => setHidden(document.hidden);
    document.addEventListener("visibilitychange", changed);
    return () => document.removeEventListener("visibilitychange", changed);
  }, []);
  return hidden;
}

// Of what is shown, this is out of date: the list of requests, the chosen one, and what of it polls do not change.
const all = () => ({ list: true, one: true, rest: true });

// useEmulator is what is shown of the emulator: about, the list of requests that pass the search, the chosen one, its
// events or all, and the sessions. A page that is paused stays as it is, and learns only how much it does not show.
export function useEmulator({ chosen, tab, search, paused, forgotten }) {
  const hidden = useHidden();
  const [about, setAbout, aboutNow] = useLive(null);
  const [list, setList] = useState({ requests: [], total: 0 });
  const [one, setOne, oneNow] = useLive(null); // the chosen request: {request, timeline, verdicts, files, before}
  const [events, setEvents, eventsNow] = useLive([]);
  const [sessions, setSessions] = useState([]);
  const [connected, setConnected] = useState(true);
  const [run, setRun] = useState(0);
  const now = useRef({});
  now.current = { chosen, tab, search, paused, hidden };
  const size = useRef(pageSize);
  const work = useRef({ stale: all(), events: 0, looks: 0, began: 0, timer: 0, running: null }).current;

  const clear = () => {
    setOne(null);
    setEvents([]);
  };

  // The chosen request, or undefined where another is chosen by now.
  const fetchOne = async (id, rest) => {
    const old = oneNow.current;
    const at = now.current.tab;
    try {
      const [request, timeline, verdicts, files] = await Promise.all([
        get(`requests/${id}?view=hidden`), get(`requests/${id}/timeline`),
        old && !rest && !/Expect|Journal/.test(at) ? old.verdicts : get(`verify?request=${id}`).then((v) => v.results),
        old && !rest ? old.files : get(`requests/${id}/files`).then((f) => f.files),
      ]);
      if (now.current.chosen !== id) return undefined;
      const before = !old || same(old.request.status, request.status) ? old && old.before : old.request.status;
      return { request, timeline, verdicts: verdicts.filter((v) => v.scenario === request.scenario), files, before };
    } catch (problem) {
      if (problem.status !== 404 || now.current.chosen !== id) throw problem;
      clear();
      forgotten(id);
      return undefined;
    }
  };

  const fetchList = () => {
    const text = searchText(now.current.search);
    return get(`requests?view=brief&order=newest&limit=${size.current}${text && `&search=${encodeURIComponent(text)}`}`);
  };

  const refresh = async (stale, asked) => {
    const before = aboutNow.current;
    const is = await get("about");
    if (now.current.hidden || (now.current.paused && !asked)) {
      setAbout(is);
      Object.assign(work.stale, stale);
      return;
    }
    if (before && before.run !== is.run) { // another emulator, with a journal that begins anew
      clear();
      setRun((n) => n + 1);
      stale = all();
    }
    if (before && before.last !== is.last && now.current.chosen) stale.list = true; // of others nothing is heard
    if (is.sessions > 0 || now.current.tab === "Raw") stale.list = stale.one = true; // which goes on without events
    if (before && before.clock.now !== is.clock.now && is.clock.virtual) stale = all();
    if (eventsNow.current.length && eventsNow.current[0].seq < is.first) { // the journal was cleared, or is full
      setEvents((old) => old.filter((e) => e.seq >= is.first));
    }
    const id = now.current.chosen;
    const [requests, moving, request] = await Promise.all([
      stale.list && fetchList(), is.sessions > 0 ? get("sessions") : { sessions: [] }, id && stale.one && fetchOne(id, stale.rest),
    ]);
    setAbout(is); // all at once, which is one drawing
    if (requests) setList(requests);
    setSessions(moving.sessions);
    if (request && now.current.chosen === id) setOne(request);
  };

  // look asks again for what is out of date, and plans the next look. What a user has asked for comes to a paused page, too.
  const look = (asked) => {
    clearTimeout(work.timer);
    if (work.running) return work.running;
    const stale = ++work.looks % 5 ? work.stale : all(); // not all that changes is an event
    work.stale = {};
    work.events = 0;
    work.began = Date.now();
    work.running = refresh(stale, asked).then(() => true, () => {
      work.stale = all();
      return false;
    }).then((well) => {
      work.running = null;
      setConnected(well);
      plan(well);
    });
    return work.running;
  };
  const plan = (well = true) => {
    if (work.running || work.ended) return;
    let due = !well ? 1000 : Object.keys(work.stale).length ? soon(work.events) : idle;
    if (now.current.hidden) due = asleep;
    else if (now.current.paused) due = idle;
    clearTimeout(work.timer);
    work.timer = setTimeout(() => look(), Math.max(0, work.began + due - Date.now()));
  };
  // again looks at everything at once, also when a look is under way that may not have seen it.
  const again = async () => {
    await new Promise((resolve) => setTimeout(resolve)); // what was chosen a moment ago is chosen then
    while (work.running) await work.running;
    work.stale = all();
    await look(true);
  };

  useEffect(() => {
    work.ended = false;
    return () => {
      work.ended = true;
      clearTimeout(work.timer);
    };
  }, []);
  useEffect(() => {
    again();
  }, [chosen, tab, hidden, paused]);
  useEffect(() => {
    if (!work.looks) return undefined; // the first look has it already
    const timer = setTimeout(again, 150); // who types is not done yet
    return () => clearTimeout(timer);
  }, [searchText(search)]);

  // The stream sleeps with the tab and goes on where it was: a browser has few connections for all tabs of a host.
  useEffect(() => {
    if (hidden) return undefined;
    const known = eventsNow.current;
    if (paused && known.length) return undefined;
    const ended = new AbortController();
    let waiting = []; // until they are drawn: where much happens, every two seconds
    let drawn = 0;
    let timer = 0;
    const draw = () => {
      const more = waiting;
      waiting = [];
      timer = 0;
      drawn = Date.now();
      if (ended.signal.aborted) return;
      setEvents((old) => {
        const last = old.length ? old[old.length - 1].seq : 0;
        const joined = old.concat(more.filter((e) => e.seq > last));
        return joined.length > mostEvents ? joined.slice(-mostEvents) : joined;
      });
    };
    const add = (more) => {
      if (ended.signal.aborted) return;
      work.events += more.length;
      Object.assign(work.stale, more.every(routine) ? { one: true } : all());
      plan();
      waiting = waiting.concat(more);
      clearTimeout(timer);
      timer = setTimeout(draw, Math.max(0, drawn + Math.min(2000, 40 * waiting.length) - Date.now()));
    };
    follow({ chosen, known, once: paused, signal: ended.signal, add, connected: setConnected });
    // A page that was left may be kept, and its connections with it: it lets go at once, and goes on if it comes back.
    const left = () => ended.abort();
    const back = (e) => e.persisted && setRun((n) => n + 1);
    addEventListener("pagehide", left);
    addEventListener("pageshow", back);
    return () => {
      removeEventListener("pagehide", left);
      removeEventListener("pageshow", back);
      ended.abort();
    };
  }, [chosen, hidden, paused, run]);
  useEffect(() => {
    if (about) work.paused = paused ? about.last : 0;
  }, [paused]);

  return {
    about, list, one, events, sessions, connected, hidden, again, clear,
    waiting: paused && about && work.paused ? about.last - work.paused : 0, // events since the page was paused
    more: () => {
      size.current += pageSize;
      return again();
    },
  };
}

// same reports whether two answers of status say the same, but for how long it has taken.
const same = (a, b) => JSON.stringify({ ...a, elapsed: 0 }) === JSON.stringify({ ...b, elapsed: 0 });

// follow adds the events behind those that are known: what has happened until now at once, and what happens from now on
// as it does.
async function follow({ chosen, known, once, signal, add, connected }) {
  let since = known.length ? known[known.length - 1].seq : 0;
  for (let until = 0; ;) {
    try {
      until = until || (await get("about")).last;
      const page = since < until && (await get(`journal?${chosen ? `request=${chosen}&` : ""}after=${since}&limit=5000`));
      if (signal.aborted) return;
      if (page && page.events.length) {
        since = page.events[page.events.length - 1].seq;
        add(page.events);
      }
      if (!page || !page.next || since >= until) {
        since = Math.max(since, until);
        break;
      }
    } catch {
      if (signal.aborted) return;
      connected(false);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
  if (!once) watch({ request: chosen, since, signal, onEvents: add, onState: connected });
}
