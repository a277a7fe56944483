// The health of the hub: what does not work and what to do about it, and the figures of its process.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { get, Problem } from "#client/api.js";
import { state as connection } from "#client/connection.js";
import { findingsOf } from "#model/health.js";
import { Facts, Trouble, useRepeated } from "#parts/loaded.js";
import { bytesText, countText, secondsText, timeText } from "#parts/text.js";

const SECONDS = 5;
const SELDOM_SECONDS = 30; // for what starts programs or does not change by itself
const MARKS = { problem: "✗", note: "!", good: "✓", absent: "–" };
const STATES = { problem: "Problem", note: "Note", good: "Works", absent: "Not used" };

export default function Health() {
  const [often, setOften] = useState({});
  const [seldom, setSeldom] = useState({});
  useRepeated(SECONDS, async () => setOften(await readOften()));
  useRepeated(SELDOM_SECONDS, async () => setSeldom(await readSeldom()), [connection.value === "open"]);
  const { problem, status, health } = often;
  const findings = findingsOf({ ...seldom, ...often, connection: connection.value });
  return html`
    <h1>Health</h1>
    ${problem && html`<${Trouble} problem=${problem} />`}
    ${!problem && !status && html`<p class="loading" role="status">Loading…</p>`}
    ${status && html`<p class="health-summary" role="status">${summaryOf(findings)}</p>`}
    <ul class="findings" aria-label="Checks">
      ${findings.map((each) => html`<${Finding} key=${`${each.about} ${each.text}`} ...${each} />`)}
    </ul>
    ${status && html`<h2>Hub</h2><${Facts} list=${facts(status, health)} />`}
    ${status?.nodes && html`<h2>Nodes</h2><${Facts} list=${status.nodes.map((each) => [each.name, nodeText(each)])} />`}
  `;
}

function Finding({ state, about, text, hint, link }) {
  return html`
    <li class="finding ${state}">
      <span class="mark" role="img" aria-label=${STATES[state]}>${MARKS[state]}</span>
      <div>
        <p>${link ? html`<a href=${link} dir="auto">${about}</a>` : html`<strong dir="auto">${about}</strong>`} <span dir="auto">${text}</span></p>
        ${hint && html`<p class="hint" dir="auto">${hint}</p>`}
      </div>
    </li>
  `;
}

function summaryOf(findings) {
  const count = (state) => findings.filter((each) => each.state === state).length;
  const [problems, notes] = [count("problem"), count("note")];
  if (problems === 0 && notes === 0) return "Everything works.";
  const parts = [problems && `${problems} ${problems === 1 ? "problem" : "problems"}`, notes && `${notes} ${notes === 1 ? "note" : "notes"}`];
  return parts.filter(Boolean).join(", ");
}

// What the caller may not see is left out.
function facts(status, health) {
  const { process, store, followers, last_backup: backup, turns } = health ?? {};
  return [
    ["Version", status.version],
    ["Running for", secondsText(health?.uptime ?? (Date.now() - Date.parse(status.started_at)) / 1000)],
    ["Process", status.pid],
    ["Memory", bytesText(process?.memory)],
    ["Processor time", secondsText(process?.cpu_seconds)],
    ["Open files and sockets", countText(process?.descriptors)],
    ["State folder", status.home],
    ["Store", store && `${bytesText(store.bytes)}${store.free_bytes === null ? "" : `, ${bytesText(store.free_bytes)} free`}`],
    ["Events since the start", store && `${countText(store.events)}, ${countText(store.events_per_second)} per second now`],
    ["Time of a commit", store?.commit_seconds != null && `${countText(store.commit_seconds * 1000)} ms on average`],
    ["Last backup", backup && timeText(backup.at)],
    ["Address", status.url],
    ["Sockets", status.sockets.join(", ")],
    ["Open connections", health && connectionsText(health.connections)],
    ["Followers of the log", followers && `${countText(followers.count)}, ${countText(followers.behind)} behind`],
    ["Peers", countText(status.peers)],
    ["Sessions that have not ended", countText(status.sessions)],
    ["Turns that run", countText(status.running)],
    ["Turns that wait for a person", countText(turns?.waiting)],
    ["Turns in the queue", countText(turns?.queued)],
  ];
}

function nodeText({ address, own, leads, live, sessions, refused_writes: refused }) {
  const counted = (count, what) => `${countText(count)} ${what}${count === 1 ? "" : "s"}`;
  const parts = [address, own && "this one", leads && "leads", live ? counted(sessions, "session") : "lost"];
  return [...parts, refused && `${counted(refused, "late write")} refused`].filter(Boolean).join(", ");
}

const connectionsText = (byApi) => Object.entries(byApi).map(([api, count]) => `${api} ${countText(count)}`).join(", ") || "none";

async function readOften() {
  const [status, health, ready] = await Promise.all([
    get("/api/v2/status").catch(problemOf),
    get("/api/v2/health").catch(() => null),
    get("/readyz").then(() => ({ ok: true }), notReady),
  ]);
  return status instanceof Problem ? { problem: status, ready: null } : { status, health, ready };
}

async function readSeldom() {
  const [tools, budgets, notify] = await Promise.all([
    get("/api/v2/tools").catch(() => null),
    get("/api/v2/budgets").catch(() => null),
    get("/api/v2/notify").catch(() => null), // only for callers with the scope `admin`
  ]);
  return { tools: tools?.tools, budgets: budgets?.budgets, notify: notify?.notify };
}

const problemOf = (problem) => problem;
const notReady = (problem) => (problem.code === "unreachable" ? null : { ok: false, detail: problem.message });
