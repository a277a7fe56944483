// All sessions, with a filter, and a dialog that begins one.
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useKeys } from "#app/keys.js";
import { navigate } from "#app/router.js";
import { newKey, post } from "#client/api.js";
import { send } from "#client/outbox.js";
import { isMine, nameOf, now, peers, titleOf } from "#model/hub.js";
import { fromQuery, hasMore, isLoaded, matching, problem, projectName, projects, readProjects, sessions, stateOf, STATES, statesOf, toQuery, useSessions } from "#model/sessions.js";
import { Dialog, useSubmit } from "#parts/dialog.js";
import { Status, Trouble } from "#parts/loaded.js";
import { ModelChoice } from "#parts/model_choice.js";
import { agoText, moneyText } from "#parts/text.js";

// The sessions: what each is about, what it does now and what it has cost. New ones are started here.

const PAGE = 100; // rows that are shown at first, and added by each press of the button

export default function Sessions({ query }) {
  const filter = fromQuery(query);
  useSessions(statesOf(filter));
  const [count, setCount] = useState(PAGE);
  const [isNew, setNew] = useState(query.has("new"));
  const list = useRef(null);
  const all = sessions.value;
  const found = matching(all, filter);
  const setFilter = (changes) => navigate(`/sessions${toQuery({ ...filter, ...changes })}`, { replace: true });
  useKeys({
    j: { name: "Next session", run: () => move(list.current, 1) },
    k: { name: "Session before", run: () => move(list.current, -1) },
    n: { name: "New session", run: () => setNew(true) },
    "/": { name: "Filter the sessions", run: () => document.getElementById("filter-text").focus() },
  });
  return html`
    <div class="sessions-head">
      <h1>Sessions</h1>
      <button class="primary" onClick=${() => setNew(true)}>New session</button>
    </div>
    <${SessionFilter} filter=${filter} sessions=${all} onFilter=${setFilter} />
    ${problem.value && html`<${Trouble} problem=${problem.value} />`}
    ${!isLoaded.value && !problem.value && html`<p class="loading" role="status">Loading…</p>`}
    ${isLoaded.value && html`<p class="muted" role="status">${countOf(found, all, filter)}</p>`}
    <ol class="session-list" ref=${list}>
      ${found.slice(0, count).map((session) => html`<${Row} key=${session.id} session=${session} />`)}
    </ol>
    ${found.length > count && html`<button onClick=${() => setCount(count + PAGE)}>Show more</button>`}
    ${hasMore.value && html`<p class="muted">Older sessions are in the <a href="/search">search</a>.</p>`}
    ${isNew && html`<${NewSession} peer=${query.get("peer")} onClose=${() => setNew(false)} />`}
  `;
}

function Row({ session }) {
  const { summary, metadata } = session;
  return html`
    <li class="session-row">
      <a class="session-title" href="/sessions/${encodeURIComponent(session.id)}" dir="auto">${session.shown ?? "No message yet"}</a>
      <span class="session-facts">
        <span dir="auto">${session.specialist_id}</span>
        <${Status} status=${stateOf(session)} />
        ${session.name && session.title && html`<span class="muted last" dir="auto">${session.title}</span>`}
        ${!isMine(session) && html`<span class="shared">shared by ${session.owner}</span>`}
        ${metadata?.cwd && html`<span class="muted folder" dir="ltr">${metadata.cwd}</span>`}
      </span>
      ${session.turn && html`<span class="session-now" dir="auto">${session.turn.doing ?? session.turn.state}</span>`}
      <span class="session-cost muted">${summary?.cost != null && `${moneyText(summary.cost)}${summary.cost_is_complete ? "" : " or more"}`}</span>
      <time class="session-time muted" datetime=${session.used_at}>${agoText(session.used_at, now.value)} ago</time>
    </li>
  `;
}

function countOf(found, all, filter) {
  if (all.length === 0) return filter.state === "ended" ? "No session has ended." : "No session is open.";
  if (found.length === all.length) return all.length === 1 ? "1 session" : `${all.length} sessions`;
  return found.length === 0 ? "No session matches the filter." : `${found.length} of ${all.length} sessions`;
}

// Move the focus from one session to the next; Enter then opens it.
function move(list, step) {
  const links = [...list.querySelectorAll(".session-title")];
  const at = links.indexOf(document.activeElement);
  links[at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step))]?.focus();
}

// Which sessions the list shows: by state, peer, project and text.

function SessionFilter({ filter, sessions, onFilter }) {
  const names = [...new Set(sessions.map((session) => session.specialist_id))].sort();
  useEffect(readProjects, []);
  const projects = [...new Set(sessions.map((session) => session.project_id).filter(Boolean))];
  return html`
    <form class="session-filter" role="search" aria-label="Filter the sessions" onSubmit=${(event) => event.preventDefault()}>
      <input
        id="filter-text"
        type="search"
        aria-label="Text"
        placeholder="Filter by title, name or id"
        value=${filter.text}
        onInput=${(event) => onFilter({ text: event.target.value })}
      />
      <${Choice} label="State" value=${filter.state} options=${STATES} onChange=${(state) => onFilter({ state })} />
      <${Choice} label="Peer" value=${filter.peer} options=${withAll("All peers", names)} onChange=${(peer) => onFilter({ peer })} />
      ${projects.length > 0 && html`
        <${Choice}
          label="Project"
          value=${filter.project}
          options=${withAll("All projects", projects, projectName)}
          onChange=${(project) => onFilter({ project })}
        />
      `}
    </form>
  `;
}

function Choice({ label, value, options, onChange }) {
  return html`
    <select aria-label=${label} value=${value} onChange=${(event) => onChange(event.target.value)}>
      ${options.map(([key, name]) => html`<option key=${key} value=${key}>${name}</option>`)}
    </select>
  `;
}

const withAll = (all, values, nameOf = (value) => value) => [["", all], ...values.map((value) => [value, nameOf(value)])];

// Starts a session with a peer, and sends its first message.

const LAST_PEER = "sessions.peer";
const KINDS = new Set(["specialist", "tool", "team"]);

function NewSession({ peer: asked, onClose }) {
  useEffect(readProjects, []);
  const [form, setForm] = useState({ peer: asked ?? localStorage.getItem(LAST_PEER) ?? "", name: "", project: "", model: null, message: "" });
  const [state, setState] = useState({ isBusy: false, problem: null });
  const key = useRef(newKey());
  const set = (changes) => {
    key.current = newKey(); // another request than the one before
    setForm((all) => ({ ...all, ...changes }));
  };
  const all = peers.value.filter(({ kind, status }) => KINDS.has(kind) && status !== "missing");
  const peer = all.find(({ id }) => id === form.peer) ?? all[0];
  const submit = useSubmit(async () => {
    if (state.isBusy || !peer) return;
    setState({ isBusy: true, problem: null });
    try {
      const session = await begin(peer.id, form, key.current);
      onClose();
      navigate(`/sessions/${encodeURIComponent(session.id)}`);
    } catch (problem) {
      setState({ isBusy: false, problem });
    }
  });
  return html`
    <${Dialog} title="New session" onClose=${onClose}>
      <form class="new-session" onSubmit=${submit}>
        <label>Peer
          <select required value=${peer?.id} onChange=${({ target }) => set({ peer: target.value })}>
            ${all.map((one) => html`<option key=${one.id} value=${one.id}>${[nameOf(one), titleOf(one)].filter(Boolean).join(" – ")}</option>`)}
          </select>
        </label>
        <label>Message
          <textarea rows="4" dir="auto" value=${form.message} onInput=${({ target }) => set({ message: target.value })}></textarea>
        </label>
        <label>Name <span class="muted">A session with a name does not expire</span>
          <input dir="auto" maxlength="200" value=${form.name} onInput=${({ target }) => set({ name: target.value })} />
        </label>
        ${projects.value.length > 0 && html`
          <label>Project <span class="muted">An agent works in its folder</span>
            <select value=${form.project} onChange=${({ target }) => set({ project: target.value })}>
              <option value="">None</option>
              ${projects.value.map(({ id, name, path }) => html`<option key=${id} value=${id}>${name} – ${path}</option>`)}
            </select>
          </label>
        `}
        ${peer?.kind === "specialist" && html`<${ModelChoice} model=${form.model} onModel=${(model) => set({ model })} />`}
        ${state.problem && html`<${Trouble} problem=${state.problem} />`}
        <p class="form-actions">
          <button type="button" onClick=${onClose}>Cancel</button>
          <button class="primary" disabled=${!peer || state.isBusy}>${form.message.trim() ? "Start and send" : "Start"}</button>
        </p>
      </form>
    <//>
  `;
}

async function begin(peer, { name, project, model, message }, key) {
  const body = { specialist_id: peer };
  if (name.trim()) body.name = name.trim();
  if (project) body.project_id = project;
  const session = await post("/api/v2/sessions", body, { key });
  localStorage.setItem(LAST_PEER, peer);
  if (message.trim()) send(session.id, message, model ? { model } : {}, { text: message, files: [], model });
  return session;
}
