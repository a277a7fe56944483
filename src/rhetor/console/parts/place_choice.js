// A place of a session to go back to or to fork from: now, before the last message, or a checkpoint.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { get } from "#client/api.js";
import { timeText } from "#parts/text.js";
import { Trouble } from "#parts/loaded.js";

// `now`: the name of the place "now"; null if it cannot be chosen. `onAt(at)`: `at` as the hub takes it, or null.
export function PlaceChoice({ session, label, at, onAt, now = null }) {
  const { checkpoints, problem } = useCheckpoints(session);
  const [first] = useState(at); // may be a cursor, which only the opener of the dialog knows
  const isOther = first?.includes(":") ?? false;
  return html`
    <label>${label}
      <select value=${at ?? ""} onChange=${({ target }) => onAt(target.value || null)}>
        ${now ? html`<option value="">${now}</option>` : html`<option value="" disabled>Choose a place</option>`}
        <option value="-1">Before the last message</option>
        ${isOther && html`<option value=${first}>After the chosen turn</option>`}
        ${checkpoints.map((one) => html`<option key=${one.checkpoint_id} value=${one.checkpoint_id}>${nameOf(one)}</option>`)}
      </select>
    </label>
    ${problem && html`<${Trouble} problem=${problem} />`}
  `;
}

// The checkpoints of a session, the newest first.
function useCheckpoints(session) {
  const [found, setFound] = useState({ checkpoints: [], problem: null });
  useEffect(() => {
    get(`/api/v2/sessions/${encodeURIComponent(session.id)}/checkpoints`).then(
      ({ checkpoints }) => setFound({ checkpoints: checkpoints.toReversed(), problem: null }),
      (problem) => setFound({ checkpoints: [], problem }),
    );
  }, [session.id]);
  return found;
}

const nameOf = ({ name, at, files }) => `${name} – ${timeText(at)}${files === undefined ? ", without files" : ""}`;
