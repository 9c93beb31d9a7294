// What can be done with a request.

import { call, get, copy, save } from "./api.js";
import { html, Copy, Sure, useState } from "./ui.js";
import * as snippets from "./snippets.js";
import * as tests from "./tests.js";

export const release = (r, act) => act(() => call("POST", `requests/${r.id}/release`), `Request ${r.id} was released.`);

export const exportScenario = (r, act) => act(async () => {
  save(`request-${r.id}.yaml`, await get(`requests/${r.id}/scenario`), "application/yaml");
}, `Saved request-${r.id}.yaml: run it with upgrademock exec --scenario request-${r.id}.yaml -- YOUR-CLIENT`);

// saveCapsule saves a capsule of a request, or of everything.
export const saveCapsule = (r, act) => {
  const name = r ? `request-${r.id}.capsule` : "upgrademock.capsule";
  return act(async () => {
    save(name, await call("GET", r ? `capsule?request=${r.id}` : "capsule", undefined, true), "application/json");
  }, `Saved ${name}: the same happens again with upgrademock replay ${name}`);
};

const states = {
  database: ["pending", "processing", "testing", "done", "delivered", "invalid"],
  script: ["pending", "progress", "done", "failed", "cancelled"],
};

// presets are faults that a scenario need not have.
const presets = {
  database: [
    ["status: SERVER:ERROR", { on: "status", failure: { reason: "SERVER:ERROR", message: "try again" } }],
    ["status: HTTP 502", { on: "status", http: { status: 502, content_type: "text/html", body: "<html>bad gateway</html>" } }],
    ["status: reset", { on: "status", reset: true }],
    ["process: SERVER:ERROR", { on: "process", failure: { reason: "SERVER:ERROR", message: "try again" } }],
    ["upload: reset after 64KiB", { on: "upload", after: "64KiB", reset: true }],
    ["sftp.login: refuse", { on: "sftp.login", refuse: true }],
    ["sftp.write: disconnect after 1MiB", { on: "sftp.write", after: "1MiB", disconnect: true }],
    ["download: cut after 64KiB", { on: "download", after: "64KiB", cut: true }],
  ],
  script: [
    ["script.status: a failure", { on: "script.status", failure: { message: "try again" } }],
    ["script.status: HTTP 502", { on: "script.status", http: { status: 502, content_type: "text/html", body: "<html>bad gateway</html>" } }],
    ["script.process: reset", { on: "script.process", reset: true }],
    ["rsync.login: refuse", { on: "rsync.login", refuse: true }],
    ["rsync.upload: disconnect after 1MiB", { on: "rsync.upload", after: "1MiB", disconnect: true }],
    ["rsync.download: disconnect after 1MiB", { on: "rsync.download", after: "1MiB", disconnect: true }],
  ],
};

export function Actions({ about, request: r, timeline, files, act, say, choose, events }) {
  const [state, setState] = useState("");
  const [message, setMessage] = useState("");
  const [fault, setFault] = useState("");
  const known = states[r.api];
  const full = () => get(`requests/${r.id}?view=full`);
  const force = (e) => {
    e.preventDefault();
    const key = r.api === "script" ? "reason" : "customer_message";
    act(() => call("POST", `requests/${r.id}/state`, { state, ...(message && { set: { [key]: message } }) }), `Request ${r.id} is ${state}.`);
  };
  const own = timeline.faults.filter((f) => f.index >= 0);
  const trigger = (e) => {
    e.preventDefault();
    const [where, index] = fault.split(":");
    const body = where === "own" ? { index: Number(index) } : { fault: presets[r.api][index][1] };
    act(() => call("POST", `requests/${r.id}/fault`, body), "The fault will trigger once, at the next call on its place.");
  };
  const upgraded = files.find((f) => f.kind === "upgraded" && !f.name.includes("/")); // of a directory, Files has each
  const held = timeline.steps.some((s) => s.is === "present" && s.for === "released");
  const name = `request-${r.id}`;
  const journal = () => act(async () => {
    const all = (await get(`journal?request=${r.id}`)).events;
    save(`${name}.jsonl`, all.map((e) => `${JSON.stringify(e)}\n`).join(""), "application/x-ndjson");
  }, `Saved ${name}.jsonl: upgrademock scenario from ${name}.jsonl makes a scenario of it.`);
  const copied = (make, what) => act(async () => copy(make(r, await get(`requests/${r.id}/scenario`), events)), `Copied ${what}, with the scenario of what happened in it.`);
  const moves = snippets.transferred(r);
  const moved = { upload: "Sends a dump", download: "Fetches what came of the dump" }[moves];
  return html`<aside class="actions" aria-label="Actions">
    <section class="steers"><h3>Steer</h3>
      <button disabled=${!held} onClick=${() => release(r, act)} title=${held ? "Let it go on (r)" : "No step holds it"}>Release</button>
      <button disabled=${!r.access_expires && r.api !== "script"} onClick=${() => act(() => call("DELETE", `requests/${r.id}/access`), "The access has ended.")}>
        ${r.api === "script" ? "End the transfer" : "End SFTP access"}</button>
      <form onSubmit=${force}><label>Set state<input list="states" required value=${state} onInput=${(e) => setState(e.target.value)} autocomplete="off" placeholder="done" /></label>
        <datalist id="states">${known.map((s) => html`<option value=${s} />`)}</datalist>
        <label>with a message<input value=${message} onInput=${(e) => setMessage(e.target.value)} autocomplete="off" placeholder="none" /></label>
        <button>Set state</button></form>
      <form onSubmit=${trigger}><label>Trigger a fault once<select required value=${fault} onChange=${(e) => setFault(e.target.value)}>
        <option value="">Choose …</option>
        ${own.length > 0 && html`<optgroup label=${`Of ${r.scenario}`}>${own.map((f) => html`<option value=${`own:${f.index}`}>${f.does}</option>`)}</optgroup>`}
        <optgroup label="Others">${presets[r.api].map(([label], i) => html`<option value=${`other:${i}`}>${label}</option>`)}</optgroup></select></label>
        <button>Trigger</button></form>
    </section>
    <section><h3>Take along</h3>
      <button class="main" onClick=${() => exportScenario(r, act)} title="e">Export as scenario</button>
      <button onClick=${() => saveCapsule(r, act)} title="What happened, for upgrademock replay, here or elsewhere">Download capsule</button>
      <button onClick=${journal}>Download journal</button>
      ${upgraded && html`<a class="button" href=${`requests/${r.id}/files/${upgraded.path}`} download=${upgraded.name}>Download upgraded</a>`}
    </section>
    <section class="copies"><h3>Copy as</h3>
      <${Copy} label="curl" title="A poll with curl" text=${async () => snippets.curl(about, await full())} say=${say} />
      <${Copy} label=${r.api === "script" ? "rsync" : "sftp"} disabled=${!moves} say=${say} text=${async () => snippets.transfer(about, await full())}
        title=${moved ? `${moved}, run in the directory of the files` : `A request that is ${r.state} has nothing to transfer`} />
      <button class="quiet" title="A test with the plugin pytest-upgrademock" onClick=${() => copied(tests.pytest, "a test for pytest")}>pytest</button>
      <button class="quiet" title="A file with a test" onClick=${() => copied(tests.go, "a test in Go")}>Go</button>
    </section>
    <section><${Sure} label="Forget" sure="Really forget?" title="Forget the request, its dump and its journal"
      run=${() => act(async () => { await call("POST", `reset?request=${r.id}`); choose(0); }, `Request ${r.id} is forgotten.`)} /></section>
  </aside>`;
}
