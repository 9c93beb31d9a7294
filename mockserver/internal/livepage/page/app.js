// The page as a whole: what it knows of the emulator, how it stays up to date, and the keys.

import { call } from "./api.js";
import { useEmulator, useLive } from "./live.js";
import { html, render, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./ui.js";
import { eventPasses, parseSearch, searchText } from "./words.js";
import { Top } from "./top.js";
import { Requests } from "./requests.js";
import { Middle } from "./middle.js";
import { exportScenario, release } from "./actions.js";
import { Bottom } from "./bottom.js";

function App() {
  const [chosen, setChosen, chosenNow] = useLive(Number(location.hash.slice(1).split("/")[0]) || 0);
  const [tab, setTab] = useState(location.hash.split("/")[1] || "Timeline");
  const [paused, setPaused] = useState(false);
  const [text, setText] = useState("");
  const [open, setOpen] = useState(0);
  const [said, setSaid] = useState(null);
  const [seen, setSeen] = useState({}); // request → state that was looked at
  const searchBox = useRef(null);
  const search = useMemo(() => parseSearch(text), [text]);
  const emulator = useEmulator({ chosen, tab, search, paused, forgotten: (id) => {
    say(`Request ${id} was forgotten.`);
    choose(0);
  } });
  const { about, list, one, events, hidden, again } = emulator;
  const oneNow = useRef(null);
  oneNow.current = one;

  const say = (what, bad) => setSaid({ what, bad, at: Date.now() });
  useEffect(() => {
    if (!said) return undefined;
    const timer = setTimeout(() => setSaid(null), 6000);
    return () => clearTimeout(timer);
  }, [said]);

  const choose = (id) => {
    if (id === chosenNow.current) return;
    emulator.clear();
    setOpen(0);
    setChosen(id);
  };
  useEffect(() => {
    const hash = chosen || tab !== "Timeline" ? `#${chosen}/${tab}` : "";
    if (location.hash !== hash) history.replaceState(null, "", hash || location.pathname);
    if (one) setSeen((old) => ({ ...old, [chosen]: one.request.state }));
  }, [chosen, tab, one && one.request.state]);

  const { requests } = list;
  const shown = useMemo(() => (searchText(search) ? events.filter((e) => eventPasses(e, search)) : events), [events, search]);

  // The title counts what has happened since the page was looked at.
  const looked = useRef(0);
  useEffect(() => {
    if (!about) return;
    if (!hidden) looked.current = about.last;
    const unseen = Math.max(0, about.last - looked.current);
    document.title = `${unseen ? `(${unseen}) ` : ""}${about.requests} ${about.requests === 1 ? "request" : "requests"} · upgrademock`;
  }, [about, hidden]);

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
  if (!about) {
    return html`<main class="starting"><p>${emulator.connected ? "Connecting …" : "The emulator does not answer. Trying again …"}</p></main>`;
  }
  const props = { about, one, events, shown, chosen, choose, tab, setTab, open, setOpen, showEvent, act, say, search };
  const reset = () => act(async () => {
    await call("POST", "reset");
    choose(0);
    emulator.clear();
  }, "All is forgotten.");
  return html`
    <${Top} ...${props} connected=${emulator.connected} paused=${paused} setPaused=${setPaused} waiting=${emulator.waiting}
      text=${text} setText=${setText} searchBox=${searchBox} reset=${reset} />
    <div class=${`columns${chosen ? " has-chosen" : ""}`}>
      <${Requests} ...${props} requests=${requests} found=${list.total} searched=${searchText(search)} seen=${seen} more=${emulator.more} />
      <${Middle} ...${props} />
    </div>
    <${Bottom} ...${props} sessions=${emulator.sessions} />
    <div class="said" role="status" aria-live="polite">
      ${said && html`<p class=${said.bad ? "bad" : ""}>${said.what}</p>`}
    </div>`;
}

const stored = localStorage.getItem("theme");
if (stored) document.documentElement.dataset.theme = stored;
render(html`<${App} />`, document.body);
