// All peers: their status with the evidence for it, what each does now, and what it has cost today.
import { html } from "htm/preact";
import { useEffect } from "preact/hooks";
import { signal } from "@preact/signals";
import { get } from "#client/api.js";
import { isLoaded, peers, problem } from "#model/peers.js";
import { Status } from "#parts/status.js";
import { agoText, moneyText } from "#parts/text.js";

const COSTS_SECONDS = 30;
const KINDS = [
  ["tool", "Agents and tools"],
  ["specialist", "Specialists"],
  ["team", "Teams"],
  ["terminal", "Terminals"],
  ["project", "Projects"],
];
const costs = signal(new Map());
const now = signal(Date.now());

export default function Peers() {
  useEffect(() => repeat(COSTS_SECONDS, readCosts), []);
  useEffect(() => repeat(1, () => (now.value = Date.now())), []);
  if (problem.value) return html`<h1>Peers</h1><p class="problem" role="alert">${problem.value.message}</p>`;
  return html`
    <h1>Peers</h1>
    ${!isLoaded.value && html`<p class="loading" role="status">Loading…</p>`}
    ${KINDS.map(([kind, title]) => html`<${Group} key=${kind} kind=${kind} title=${title} />`)}
  `;
}

function Group({ kind, title }) {
  const found = peers.value.filter((peer) => peer.kind === kind);
  if (found.length === 0) return null;
  return html`
    <section aria-label=${title}>
      <h2>${title}</h2>
      <ul class="cards">
        ${found.map((peer) => html`<${Peer} key=${peer.id} peer=${peer} />`)}
      </ul>
    </section>
  `;
}

function Peer({ peer }) {
  const cost = costs.value.get(peer.id);
  return html`
    <li class="card peer">
      <h3><a href="/peers/${encodeURIComponent(peer.id)}" dir="auto">${peer.name}</a> <${Status} status=${peer.status} /></h3>
      <p class="evidence" dir="auto">${peer.evidence}</p>
      ${peer.description && html`<p class="description" dir="auto">${peer.description}</p>`}
      <ul class="doing">
        ${(peer.now ?? []).map((turn) => html`<${Doing} key=${turn.turn_id} turn=${turn} />`)}
      </ul>
      ${cost && html`<p class="cost">${costText(cost)}</p>`}
    </li>
  `;
}

function Doing({ turn }) {
  return html`
    <li>
      <a href="/sessions/${encodeURIComponent(turn.session_id)}" dir="auto">${turn.session_name ?? turn.session_id}</a>
      ${" "}<span dir="auto">${turn.doing ?? turn.state}</span>
      ${" "}<span class="muted">${agoText(turn.since, now.value)}</span>
    </li>
  `;
}

function costText({ cost, unpriced_turns: unpriced }) {
  const known = `${moneyText(cost)} today`;
  return unpriced ? `${known}, and ${unpriced} turns without a known price` : known;
}

async function readCosts() {
  const today = new Date().toISOString().slice(0, 10);
  const found = await get(`/api/analytics/costs?group_by=peer&from=${today}`).catch(() => null);
  if (found) costs.value = new Map(found.rows.map((row) => [row.key, row]));
}

function repeat(seconds, work) {
  work();
  const timer = setInterval(work, seconds * 1000);
  return () => clearInterval(timer);
}
