// All peers: their status with the evidence for it, what each does now, and what it has cost today.
import { html } from "htm/preact";
import { computed, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get } from "#client/api.js";
import { arePeersKnown, nameOf, peers, peersProblem, titleOf } from "#model/hub.js";
import { Status } from "#parts/loaded.js";
import { agoText, moneyText } from "#parts/text.js";

const COSTS_SECONDS = 30;
const KINDS = [
  ["tool", "Agents and tools"],
  ["specialist", "Specialists"],
  ["team", "Teams"],
  ["terminal", "Terminals"],
  ["project", "Projects"],
  ["machine", "Machines"],
];
const costs = signal(new Map());
const now = signal(Date.now());
// those that need a person come first, and those that cannot be used last
const ORDER = ["blocked", "stuck", "busy", "idle", "available", "online", "gone", "offline", "missing"];
const summary = computed(() => {
  const all = peers.value.filter((peer) => peer.kind !== "project" && peer.kind !== "machine");
  const count = (...statuses) => all.filter((peer) => statuses.includes(peer.status)).length;
  const parts = [
    [count("blocked"), "waits for you", "wait for you"],
    [count("stuck"), "is stuck", "are stuck"],
    [count("busy"), "is busy", "are busy"],
    [count("idle", "available"), "is free", "are free"],
    [count("gone", "offline", "missing"), "cannot be reached", "cannot be reached"],
  ];
  const said = parts.filter(([number]) => number > 0).map(([number, one, many]) => `${number} ${number === 1 ? one : many}`);
  return `${all.length} ${all.length === 1 ? "peer" : "peers"}: ${said.join(", ")}`;
});

export default function Peers() {
  useEffect(() => repeat(COSTS_SECONDS, readCosts), []);
  useEffect(() => repeat(1, () => (now.value = Date.now())), []);
  return html`
    <h1>Peers</h1>
    ${peersProblem.value && html`<p class="problem" role="alert">${peersProblem.value.message}</p>`}
    ${!peersProblem.value && html`<p class="summary" role="status">${arePeersKnown.value ? summary.value : "Loading…"}</p>`}
    ${KINDS.map(([kind, title]) => html`<${Group} key=${kind} kind=${kind} title=${title} />`)}
  `;
}

function Group({ kind, title }) {
  const found = peers.value.filter((peer) => peer.kind === kind).sort(byNeed);
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
      <h3><a href="/peers/${encodeURIComponent(peer.id)}" dir="auto">${nameOf(peer)}</a> <${Status} status=${peer.status} /></h3>
      ${titleOf(peer) && html`<p class="muted" dir="auto">${titleOf(peer)}</p>`}
      ${peer.now?.length > 0 && html`<ul class="doing">${peer.now.map((turn) => html`<${Doing} key=${turn.turn_id} turn=${turn} />`)}</ul>`}
      <p class="evidence" dir="auto">${peer.evidence}</p>
      ${peer.description && html`<p class="description" dir="auto">${peer.description}</p>`}
      ${cost && html`<p class="cost">${costText(cost)}</p>`}
    </li>
  `;
}

// Where a turn is shown: in its session, or in the line of which it is a step.
function placeOf({ session_id: session, plan_id: plan }) {
  return session ? `/sessions/${encodeURIComponent(session)}` : `/line?plan=${encodeURIComponent(plan)}`;
}

// What a turn does, as a link to its place.
function Doing({ turn }) {
  const does = turn.doing ?? turn.state;
  return html`
    <li class="turn-${turn.state}">
      <a href=${placeOf(turn)} dir="auto">${does[0].toUpperCase() + does.slice(1)}</a>
      <span class="muted" dir="auto">${turn.session_name ?? ""} ${agoText(turn.since, now.value)}</span>
    </li>
  `;
}

function byNeed(one, other) {
  return ORDER.indexOf(one.status) - ORDER.indexOf(other.status) || nameOf(one).localeCompare(nameOf(other));
}

function costText({ cost, unpriced_turns: unpriced }) {
  const known = `${moneyText(cost)} today`;
  return unpriced ? `${known}, and ${unpriced} ${unpriced === 1 ? "turn" : "turns"} without a known price` : known;
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
