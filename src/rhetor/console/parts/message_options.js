// How a message is sent: whether Enter sends it, and which model answers it.
import { html } from "htm/preact";
import { signal } from "@preact/signals";
import { change } from "#client/outbox.js";
import { ModelChoice } from "#parts/model_choice.js";

const ENTER = "message.enter"; // "send" or "line"
const isTouched = matchMedia("(pointer: coarse)").matches; // there, Enter is the only way to a new line

export const isEnterSending = signal((localStorage.getItem(ENTER) ?? (isTouched ? "line" : "send")) === "send");

export function MessageOptions({ session, draft, takesModel }) {
  const setEnter = ({ target }) => {
    isEnterSending.value = target.checked;
    localStorage.setItem(ENTER, target.checked ? "send" : "line");
  };
  return html`
    ${takesModel && html`<${ModelChoice} model=${draft.model} onModel=${(model) => change(session, { model })} />`}
    <label class="enter" title="Shift+Enter always begins a new line">
      <input type="checkbox" checked=${isEnterSending.value} onChange=${setEnter} /> Enter sends
    </label>
  `;
}
