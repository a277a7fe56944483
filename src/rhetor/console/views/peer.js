// One peer: why it has its status, what it can do, how it has done so far, and its sessions.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { navigate } from "#app/router.js";
import { get, newKey, post } from "#client/api.js";
import { nameOf, peerOf, titleOf } from "#model/hub.js";
import { Facts, Status, Trouble, useRepeated } from "#parts/loaded.js";
import { countText, secondsText, timeText } from "#parts/text.js";

const SECONDS = 5;
const MOST_SESSIONS = 20;
const LASTING = new Set(["busy", "blocked", "stuck", "gone"]); // it matters since when

export default function Peer({ params: { id } }) {
  const live = peerOf(id);
  const [found, setFound] = useState({});
  useRepeated(SECONDS, async () => setFound(await read(id)), [id, live?.status, live?.now?.length]);
  const peer = live ?? found.peer;
  if (!peer && found.problem) return html`<h1 dir="auto">${id}</h1><${Trouble} problem=${found.problem} /><p><a href="/">Show all peers</a></p>`;
  if (!peer) return html`<h1 dir="auto">${id}</h1><p class="loading" role="status">Loading…</p>`;
  const { status, tool } = found;
  return html`
    <h1 class="peer-name"><span dir="auto">${nameOf(peer)}</span> <${Status} status=${peer.status} /></h1>
    ${titleOf(peer) && html`<p class="muted" dir="auto">${titleOf(peer)}</p>`}
    ${peer.description && html`<p dir="auto">${peer.description}</p>`}
    <${Reasons} peer=${peer} status=${status} />
    ${tool && html`<${Setup} tool=${tool} />`}
    ${peer.websocket_supported && html`<${Begin} peer=${peer} hasTerminal=${status?.screen != null} />`}
    ${status?.screen && html`<${Screen} lines=${status.screen} />`}
    <${Facts} list=${facts(peer, status)} />
    <${Capabilities} capabilities=${peer.capabilities} />
    <${Sessions} peer=${peer} list=${found.sessions} />
  `;
}

// What is not there for this kind of peer is left out.
async function read(id) {
  const path = `/api/v2/ai/${encodeURIComponent(id)}`;
  try {
    const peer = await get(path);
    const [status, sessions, tool] = await Promise.all([
      get(`${path}/status`).catch(() => null),
      get(`/api/v2/sessions?peer=${encodeURIComponent(peer.id)}`).catch(() => null),
      peer.kind === "tool" ? get("/api/v2/tools").catch(() => null) : null,
    ]);
    return { peer, status, sessions: sessions?.sessions, tool: tool?.tools.find((each) => each.name === peer.id) };
  } catch (problem) {
    return { problem };
  }
}

function Reasons({ peer, status }) {
  const reasons = (status?.reasons ?? []).filter((reason) => reason !== peer.evidence);
  return html`
    <section class="card" aria-label="Status">
      <p><strong dir="auto">${peer.evidence || `The peer is ${peer.status}.`}</strong>${LASTING.has(peer.status) && status?.since && html` <span class="muted">since ${timeText(status.since)}</span>`}</p>
      ${reasons.length > 0 && html`<ul>${reasons.map((reason) => html`<li key=${reason} dir="auto">${reason}</li>`)}</ul>`}
      ${(peer.now ?? []).map((turn) => html`<${Turn} key=${turn.turn_id} turn=${turn} />`)}
      ${(status?.paused ?? []).map((turn) => html`<${Paused} key=${turn.turn_id} turn=${turn} />`)}
      ${status?.dialog && html`<${Question} dialog=${status.dialog} />`}
    </section>
  `;
}

function Turn({ turn }) {
  const what = `${turn.doing ?? turn.state}, since ${timeText(turn.since)}`;
  if (!turn.session_id) return html`<p dir="auto">In a plan: ${what}</p>`;
  return html`<p dir="auto"><a href="/sessions/${encodeURIComponent(turn.session_id)}">${turn.session_name ?? turn.session_id}</a>: ${what}</p>`;
}

function Paused({ turn }) {
  const resets = turn.resets_at && `, until ${timeText(turn.resets_at)}`;
  return html`<p class="warning" dir="auto">A turn is paused${resets}: ${turn.reason} <a href="/permissions">Answer</a></p>`;
}

function Question({ dialog }) {
  return html`
    <div class="warning">
      <p dir="auto">Its terminal asks: ${dialog.text}</p>
      ${dialog.options.length > 0 && html`<ul>${dialog.options.map((option) => html`<li key=${option} dir="auto">${option}</li>`)}</ul>`}
      <p>Answer in its terminal.</p>
    </div>
  `;
}

// What a configured program needs before it can answer.
function Setup({ tool }) {
  if (!tool.installed) return html`<p class="warning" dir="auto">${tool.executable} is not installed; ${tool.how_to_install}</p>`;
  if (tool.login.known === "no") return html`<p class="warning" dir="auto">${tool.display_name} is not logged in; ${tool.login.how}</p>`;
  return null;
}

function Begin({ peer, hasTerminal }) {
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const [key] = useState(newKey);
  const begin = async (event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    const name = new FormData(event.target).get("name").trim();
    try {
      const session = await post("/api/v2/sessions", { specialist_id: peer.id, ...(name && { name }) }, { key: name ? `${key} ${name}` : key });
      navigate(`/sessions/${encodeURIComponent(session.id)}`);
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`
    <form class="begin" aria-label="New session" onSubmit=${begin}>
      <label>Name of a new session <input name="name" maxlength="200" autocomplete="off" placeholder="optional" dir="auto" /></label>
      <button class="primary" disabled=${isBusy}>New session</button>
      ${hasTerminal && html`<a class="button" href="/terminals/${encodeURIComponent(peer.id)}">Open its terminal</a>`}
      ${problem && html`<${Trouble} problem=${problem} />`}
    </form>
  `;
}

function Screen({ lines }) {
  return html`<section aria-label="Screen"><h2>Screen</h2><pre class="peer-screen" tabindex="0" dir="ltr">${lines.join("\n").trimEnd()}</pre></section>`;
}

function facts(peer, status) {
  const { capabilities: can } = peer;
  const price = peer.cost_per_1k_tokens;
  return [
    ["Kind", [peer.kind, status?.driver].filter(Boolean).join(", ")],
    ["Model", peer.model],
    ["Process", peer.pid],
    ["Average time of an answer", secondsText(peer.avg_response_time)],
    ["Turns that succeed", peer.success_rate == null ? null : `${Math.round(peer.success_rate * 100)}%`],
    ["Cost of 1,000 tokens", price == null ? null : `$${price}`],
    ["Context", can?.context_tokens && `${countText(can.context_tokens)} tokens`],
    ["Longest answer", can?.max_tokens && `${countText(can.max_tokens)} tokens`],
    ["Answers are forwarded to", peer.forwards?.length ? peer.forwards.join(", ") : null],
  ];
}

function Capabilities({ capabilities }) {
  const scores = Object.entries(capabilities?.scores ?? {}).sort((one, other) => other[1] - one[1]);
  if (scores.length === 0) return null;
  return html`
    <h2>Capabilities</h2>
    <ul class="capabilities">
      ${scores.map(
        ([name, score]) => html`
          <li key=${name}><span dir="auto">${name}${capabilities.primary.includes(name) && " (primary)"}</span>
            <meter min="0" max="1" value=${score} aria-label=${name}></meter> ${score}</li>
        `,
      )}
    </ul>
  `;
}

function Sessions({ peer, list }) {
  if (!list) return null;
  const more = list.length - MOST_SESSIONS;
  return html`
    <h2>Sessions</h2>
    ${list.length === 0 && html`<p class="muted">No session with this peer yet.</p>`}
    <ul class="session-links">
      ${list.slice(0, MOST_SESSIONS).map(
        (session) => html`
          <li key=${session.id}><a href="/sessions/${encodeURIComponent(session.id)}" dir="auto">${session.name ?? session.title ?? session.id}</a> <${Status} status=${session.state} /></li>
        `,
      )}
    </ul>
    ${more > 0 && html`<p><a href="/sessions?peer=${encodeURIComponent(peer.id)}">Show ${countText(more)} more</a></p>`}
  `;
}
