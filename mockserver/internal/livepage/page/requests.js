// The list of requests, the latest first.

import { html, Pill } from "./ui.js";
import { ago, bytes } from "./words.js";

export function Requests({ about, requests, found, searched, more, chosen, choose, seen }) {
  const total = about.requests;
  const now = new Date(about.clock.now);
  return html`<nav class="requests" aria-label="Requests">
    <button class="item all" aria-current=${chosen === 0 ? "true" : undefined} onClick=${() => choose(0)}>
      <b>Everything</b><span class="dim num">${total} ${total === 1 ? "request" : "requests"}</span></button>
    ${searched && html`<p class="dim found" role="status">${found === 0 ? "No request passes the search." : `${found} of them ${found === 1 ? "passes" : "pass"} the search`}</p>`}
    <ol>${requests.map((r) => html`<li key=${r.id}><button class="item" aria-current=${chosen === r.id ? "true" : undefined} onClick=${() => choose(r.id)}>
      <span class="line"><b class="num">${r.id}</b>
        ${seen[r.id] !== r.state && html`<i class="new" role="img" aria-label="new"></i>`}
        <span class="push"></span>
        ${r.faults_used > 0 && html`<span class="tag fault" title="faults that were used">${r.faults_used} ${r.faults_used === 1 ? "fault" : "faults"}</span>`}
        <${Pill} state=${r.state} /></span>
      <span class="line dim"><span class="clip">${r.contract}</span><span class="push"></span><span class="clip">${r.scenario}</span></span>
      <span class="line dim num"><span>${ago(now - new Date(r.created_at))}</span><span class="push"></span>
        <span>${bytes(r.dump_size || r.shared_size)}</span><span>${r.api === "script" ? "script" : "database"}</span></span>
    </button></li>`)}</ol>
    ${requests.length < found && html`<button class="quiet more" onClick=${more}>Show more of ${found}</button>`}
  </nav>`;
}
