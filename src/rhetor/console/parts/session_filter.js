// Which sessions the list shows: by state, peer, project and text.
import { html } from "htm/preact";
import { useEffect } from "preact/hooks";
import { projectName, readProjects, STATES } from "#model/sessions.js";

export function SessionFilter({ filter, sessions, onFilter }) {
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
