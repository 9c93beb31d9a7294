// The page as a whole: what it knows of the emulator, how it stays up to date, and the keys.

import { call, get, watch } from "./api.js";
import { html, render, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./ui.js";
import { eventPasses, parseSearch, requestPasses } from "./words.js";
import { Top } from "./top.js";
import { Requests } from "./requests.js";
import { Middle } from "./middle.js";
import { exportScenario, release } from "./actions.js";
import { Bottom } from "./bottom.js";

const pageSize = 50;
const mostBehind = 2000; // events that the list of everything may be late
const mostEvents = 20000; // that are kept here; the emulator keeps 10,000 by default

// useLive is a value and its setter, and a reference to what it is now, for callbacks that outlive a drawing.
function useLive(initial) {
  const [value, set] = useState(initial);
  const now = useRef(value);
  now.current = value;
  return [value, set, now];
}

function App() {
  const [about, setAbout, aboutNow] = useLive(null);
  const [list, setList, listNow] = useLive({ requests: [], total: 0 });
  const [size, setSize, sizeNow] = useLive(pageSize);
  const [chosen, setChosen, chosenNow] = useLive(Number(location.hash.slice(1).split("/")[0]) || 0);
  const [tab, setTab] = useState(location.hash.split("/")[1] || "Timeline");
  const [one, setOne, oneNow] = useLive(null); // the chosen request: {request, timeline, verdicts, files, before}
  const [events, setEvents, eventsNow] = useLive([]);
  const [connected, setConnected] = useState(true);
  const [paused, setPaused, pausedNow] = useLive(false);
  const [text, setText] = useState("");
  const [open, setOpen] = useState(0);
  const [said, setSaid] = useState(null);
  const [sessions, setSessions] = useState([]);
  const [seen, setSeen] = useState({}); // request → state that was looked at
  const stale = useRef({ list: true, one: true }); // what has to be asked for again
  const searchBox = useRef(null);
  const search = useMemo(() => parseSearch(text), [text]);

  const say = (what, bad) => setSaid({ what, bad, at: Date.now() });
  useEffect(() => {
    if (!said) return undefined;
    const timer = setTimeout(() => setSaid(null), 6000);
    return () => clearTimeout(timer);
  }, [said]);

  const choose = (id) => {
    if (id === chosenNow.current) return;
    setOne(null);
    setEvents([]);
    setOpen(0);
    setChosen(id);
  };
  useEffect(() => {
    const hash = chosen || tab !== "Timeline" ? `#${chosen}/${tab}` : "";
    if (location.hash !== hash) history.replaceState(null, "", hash || location.pathname);
    if (one) setSeen((old) => ({ ...old, [chosen]: one.request.state }));
  }, [chosen, tab, one && one.request.state]);

  // What is shown is asked for again when something has happened, and every few seconds.
  const refresh = async () => {
    const want = stale.current;
    stale.current = {};
    try {
      const before = aboutNow.current;
      const now = await get("about");
      if (before && (before.run !== now.run || before.last !== now.last)) want.list = true;
      if (before && before.run !== now.run) {
        from.current = 0;
        restart();
      }
      setAbout(now);
      if (eventsNow.current.length && eventsNow.current[0].seq < now.first) { // the journal was cleared, or is full
        setEvents((old) => old.filter((e) => e.seq >= now.first));
      }
      const shownTo = eventsNow.current.length ? eventsNow.current[eventsNow.current.length - 1].seq : now.last;
      if (!chosenNow.current && before && now.last - shownTo > mostBehind) { // more happens than a page is told of
        from.current = now.last - 200;
        say(`More happens than can be shown: ${from.current - shownTo} events are left out here.`);
        restart();
      }
      if (want.list) setList(await get(`requests?view=brief&order=newest&limit=${sizeNow.current}`));
      setSessions((await get("sessions")).sessions);
      const id = chosenNow.current;
      if (id && (want.one || now.clock.now !== (before && before.clock.now))) await refreshOne(id);
      setConnected(true);
    } catch {
      stale.current = { list: true, one: true };
      setConnected(false);
    }
  };
  const refreshOne = async (id) => {
    try {
      const [request, timeline, verdicts, files] = await Promise.all([
        get(`requests/${id}?view=hidden`), get(`requests/${id}/timeline`), get(`verify?request=${id}`),
        get(`requests/${id}/files`),
      ]);
      if (chosenNow.current !== id) return;
      const old = oneNow.current;
      const polls = eventsNow.current.filter((e) => /(^|\.)status$/.test(e.on)).length;
      const before = !old ? null : polls > old.polls ? old.request.status : old.before;
      setOne({ request, timeline, verdicts: verdicts.results, files: files.files, before, polls });
    } catch (problem) {
      if (problem.status !== 404 || chosenNow.current !== id) throw problem;
      say(`Request ${id} was forgotten.`);
      choose(0);
    }
  };
  const again = () => {
    stale.current = { list: true, one: true };
    return refresh();
  };
  // restart is for an emulator that is another than before, with a journal that begins anew.
  const [run, setRun] = useState(0);
  const from = useRef(0); // where the list of everything begins
  const restart = () => {
    setEvents([]);
    setRun((n) => n + 1);
  };

  useEffect(() => {
    let ended = false;
    let timer;
    let quiet = 0;
    const beat = async () => {
      if (!pausedNow.current) {
        quiet++;
        const hidden = document.hidden;
        if (hidden ? quiet >= 5 : stale.current.list || stale.current.one || quiet >= 2) {
          quiet = 0;
          await refresh();
        }
      }
      if (!ended) timer = setTimeout(beat, 1000);
    };
    beat();
    const back = () => !document.hidden && again();
    document.addEventListener("visibilitychange", back);
    return () => {
      ended = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", back);
    };
  }, []);

  // The stream sleeps with the tab and goes on where it was: a browser has few connections for all tabs of a host.
  const [hidden, setHidden] = useState(document.hidden);
  useEffect(() => {
    const changed = () => setHidden(document.hidden);
    document.addEventListener("visibilitychange", changed);
    return () => document.removeEventListener("visibilitychange", changed);
  }, []);
  useEffect(() => {
    if (hidden || paused) return undefined;
    const ended = new AbortController();
    const add = (more) => {
      if (ended.signal.aborted) return;
      stale.current = { list: true, one: true };
      setEvents((old) => {
        const last = old.length ? old[old.length - 1].seq : 0;
        const all = old.concat(more.filter((e) => e.seq > last));
        return all.length > mostEvents ? all.slice(-mostEvents) : all;
      });
    };
    const follow = async () => {
      const known = eventsNow.current;
      let since = known.length ? known[known.length - 1].seq : chosen ? 0 : from.current;
      const filter = chosen ? `request=${chosen}&` : "";
      // What has happened comes at once, and what happens from now on as it does. Where that was too much already,
      // the stream alone brings it, at its own pace.
      while (chosen || from.current === 0 || known.length) {
        try {
          const page = await get(`journal?${filter}after=${since}&limit=5000`);
          if (ended.signal.aborted) return;
          if (page.events.length) {
            since = page.events[page.events.length - 1].seq;
            add(page.events);
          }
          if (!page.next) break;
        } catch {
          if (ended.signal.aborted) return;
          setConnected(false);
          await new Promise((resolve) => setTimeout(resolve, 1000));
        }
      }
      watch({ request: chosen, since, signal: ended.signal, onEvents: add, onState: setConnected });
    };
    stale.current.one = true;
    follow();
    if (chosen) refreshOne(chosen).catch(() => setConnected(false));
    return () => ended.abort();
  }, [chosen, hidden, paused, run]);

  const requests = useMemo(() => list.requests.filter((r) => requestPasses(r, search)), [list, search]);
  const shown = useMemo(() => events.filter((e) => eventPasses(e, search)), [events, search]);

  // The title counts what has happened since the page was looked at.
  const looked = useRef(0);
  useEffect(() => {
    if (!about) return;
    if (!hidden) looked.current = about.last;
    const unseen = Math.max(0, about.last - looked.current);
    document.title = `${unseen ? `(${unseen}) ` : ""}${list.total} ${list.total === 1 ? "request" : "requests"} · upgrademock`;
  }, [about, list, hidden]);

  const act = async (action, done) => {
    try {
      const result = await action();
      if (done) say(typeof done === "function" ? done(result) : done);
      await again();
      return result;
    } catch (problem) {
      say(problem.message, true);
      return undefined;
    }
  };

  useLayoutEffect(() => {
    const pressed = (e) => {
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key === "Escape" && document.activeElement === searchBox.current) searchBox.current.blur();
      if (/^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) return;
      const ids = [0, ...requests.map((r) => r.id)];
      const at = ids.indexOf(chosenNow.current);
      const keys = {
        j: () => choose(ids[Math.min(ids.length - 1, at + 1)]),
        k: () => choose(ids[Math.max(0, at - 1)]),
        r: () => oneNow.current && release(oneNow.current.request, act),
        e: () => oneNow.current && exportScenario(oneNow.current.request, act),
        "/": () => searchBox.current.focus(),
      };
      if (keys[e.key]) {
        e.preventDefault();
        keys[e.key]();
      }
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [requests]);

  const showEvent = (seq) => {
    setTab("Journal");
    setText("");
    setOpen(seq);
  };
  if (!about) return html`<main class="starting"><p>${connected ? "Connecting …" : "The emulator does not answer. Trying again …"}</p></main>`;
  const props = { about, one, events, shown, chosen, choose, tab, setTab, open, setOpen, showEvent, act, say, search };
  return html`
    <${Top} ...${props} connected=${connected} paused=${paused} setPaused=${setPaused} text=${text} setText=${setText}
      searchBox=${searchBox} reset=${() => act(async () => { await call("POST", "reset"); choose(0); setEvents([]); }, "All is forgotten.")} />
    <div class=${`columns${chosen ? " has-chosen" : ""}`}>
      <${Requests} ...${props} requests=${requests} total=${list.total} loaded=${list.requests.length} seen=${seen}
        more=${() => { setSize(size + pageSize); stale.current.list = true; }} />
      <${Middle} ...${props} total=${list.total} />
    </div>
    <${Bottom} ...${props} sessions=${sessions} />
    <div class="said" role="status" aria-live="polite">
      ${said && html`<p class=${said.bad ? "bad" : ""}>${said.what}</p>`}
    </div>`;
}

const stored = localStorage.getItem("theme");
if (stored) document.documentElement.dataset.theme = stored;
render(html`<${App} />`, document.body);
