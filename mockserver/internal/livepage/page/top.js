// The top of the page: listeners, the clock, the search, and what concerns everything.

import { call } from "./api.js";
import { html, Copy, Sure, useState } from "./ui.js";
import { clockTime, dayAndTime, filters } from "./words.js";

export function Top({ about, connected, paused, setPaused, waiting, text, setText, searchBox, reset, act, say, search }) {
  const { clock } = about;
  const unknown = search.unknown.length > 0 &&
    `There is no filter ${search.unknown.map((name) => `${name}:`).join(" ")} Choose ${filters.map((f) => `${f}:`).join(" ")}`;
  return html`<header>
    <h1><img src="page/icon.svg" alt="" width="20" height="20" />upgrademock</h1>
    <ul class="listeners" aria-label="Listeners">${about.listeners.map((l) => html`<li key=${l.name}>
      <i class=${l.ok ? "ok" : "down"} role="img" aria-label=${l.ok ? "serving" : "not serving"}></i>
      <span class="dim">${l.name}</span><${Copy} text=${l.address} label=${l.address.replace(/^https?:\/\//, "").replace(/^127\.0\.0\.1(?=:)/, "")} title=${`Copy ${l.address}`} say=${say} />
    </li>`)}</ul>
    <${Clock} clock=${clock} act=${act} />
    ${!connected && html`<span class="lost" role="alert">Connection lost, trying again …</span>`}
    ${about.dropped > 0 && html`<span class="dim" title="The journal is full: the oldest events were dropped (--journal-size)">${about.dropped} events dropped</span>`}
    <label class="search"><span class="offscreen">Search</span>
      <input type="search" ref=${searchBox} value=${text} onInput=${(e) => setText(e.target.value)} autocomplete="off"
        spellcheck="false" placeholder="request: contract: on: fault: state:" title="Search: press /" aria-describedby="search-hint" />
      <span id="search-hint" class=${unknown ? "hint" : "offscreen"}>${unknown || "Words, and filters such as on:status"}</span></label>
    <button aria-pressed=${paused} onClick=${() => setPaused(!paused)} title=${paused ? "Show what has happened meanwhile, and go on" : pauseTitle(clock)}>
      ${!paused ? "Pause" : waiting > 0 ? `Go on, ${waiting} new` : "Go on"}</button>
    <${Theme} />
    <${Sure} label="Reset" sure="Forget everything?" run=${reset} title="Forget requests, dumps and journal" />
  </header>`;
}

const pauseTitle = (clock) => "Stop what is shown, to read it. The emulator goes on answering its clients, and what they do comes when you go on. " +
  (clock.virtual ? "Its virtual clock stands anyway, until it is advanced." : "Its clock goes on, too: it is the system's. One that stands is a virtual one (serve --clock virtual).");

// Clock says what time it is for the emulator, and lets a virtual one go on.
function Clock({ clock, act }) {
  const advance = (by) => act(() => call("POST", "clock/advance", { by }));
  return html`<div class="clock"><time class="num" datetime=${clock.now} title=${`${dayAndTime(clock.now)} UTC`}>${clockTime(clock.now)}</time>
    ${clock.virtual ? html`${["1m", "1h", "8h"].map((by) => html`<button key=${by} class="quiet" onClick=${() => advance(by)} title=${`Let ${by} pass`}>+${by}</button>`)}
      <button class="quiet" disabled=${!clock.next} title=${clock.next ? `${dayAndTime(clock.next)} UTC` : "No request changes its state by itself"}
        onClick=${() => act(() => call("PUT", "clock", { now: "next" }))}>next change</button>`
    : html`<span class="dim">UTC</span>`}
  </div>`;
}

// Theme goes from the system's to light and dark.
function Theme() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme || "auto");
  const next = { auto: "light", light: "dark", dark: "auto" }[theme];
  const change = () => {
    setTheme(next);
    if (next === "auto") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem("theme");
    } else {
      document.documentElement.dataset.theme = next;
      localStorage.setItem("theme", next);
    }
  };
  return html`<button class="theme" onClick=${change} title=${`Theme: ${theme}. Change to ${next}`} aria-label=${`Theme: ${theme}`}>${{ auto: "Auto", light: "Light", dark: "Dark" }[theme]}</button>`;
}
