// What all parts of the page use: the library, and small pieces.

import { h, render } from "./vendor/preact.js";
import * as hooks from "./vendor/hooks.js";
import htm from "./vendor/htm.js";
import { copy } from "./api.js";
import { kind } from "./words.js";

export const html = htm.bind(h);
export { render };
export const { useEffect, useLayoutEffect, useMemo, useRef, useState } = hooks;

export const Pill = ({ state }) => html`<span class="pill ${kind(state)}">${state}</span>`;

// Copy is a button that puts text, or what the function text returns, on the clipboard.
export function Copy({ text, label, title, say, disabled }) {
  const run = async () => {
    try {
      const value = typeof text === "function" ? await text() : text;
      await copy(value);
      say(`Copied: ${value}`);
    } catch (problem) {
      say(problem.message, true);
    }
  };
  return html`<button class="quiet" title=${title} disabled=${disabled} onClick=${run}>${label}</button>`;
}

// Sure is a button that asks once more.
export function Sure({ label, sure, run, ...rest }) {
  const [asked, ask] = useState(false);
  useEffect(() => {
    if (!asked) return undefined;
    const timer = setTimeout(() => ask(false), 4000);
    return () => clearTimeout(timer);
  }, [asked]);
  const click = () => {
    ask(!asked);
    if (asked) run();
  };
  return html`<button class=${asked ? "danger" : ""} onClick=${click} ...${rest}>${asked ? sure : label}</button>`;
}

// Secret is a key of which the beginning is shown until it is clicked.
export function Secret({ hidden, full, say }) {
  const [shown, show] = useState("");
  useEffect(() => show(""), [hidden]);
  if (!hidden) return null;
  const reveal = () => full().then(show, (problem) => say(problem.message, true));
  return shown
    ? html`<code class="secret">${shown}</code><${Copy} text=${shown} label="Copy" title="Copy the key" say=${say} />`
    : html`<button class="quiet secret" title="Show the key" onClick=${reveal}>${hidden}</button>`;
}

// Tabs are buttons of which one is chosen; arrow keys move between them.
export function Tabs({ names, chosen, choose, label }) {
  const move = (e) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (!step) return;
    const at = (names.indexOf(chosen) + step + names.length) % names.length;
    choose(names[at]);
    e.currentTarget.children[at].focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
    ${names.map((name) => html`<button role="tab" key=${name} aria-selected=${name === chosen}
      tabindex=${name === chosen ? 0 : -1} onClick=${() => choose(name)}>${name}</button>`)}
  </div>`;
}

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;
