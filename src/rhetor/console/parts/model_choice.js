// Which model answers the next message. The list of models is read when the user asks for it.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { get } from "#client/api.js";
import { notifyProblem } from "#parts/notices.js";

export function ModelChoice({ model, onModel, isDisabled = false }) {
  const [models, setModels] = useState(null);
  const [isLoading, setLoading] = useState(false);
  const load = async () => {
    setLoading(true);
    try {
      setModels((await get("/api/v2/models")).models);
    } catch (problem) {
      notifyProblem(problem);
    } finally {
      setLoading(false);
    }
  };
  if (!models) {
    return html`
      <button type="button" disabled=${isDisabled || isLoading} onClick=${load} dir="auto">
        ${isLoading ? "Reading the models…" : `Model: ${model ?? "default"}`}
      </button>
    `;
  }
  const known = models.map((one) => one.model);
  const names = model && model !== "auto" && !known.includes(model) ? [model, ...known] : known;
  return html`
    <select
      class="model"
      aria-label="Model for this message"
      ref=${(select) => select && document.activeElement === document.body && select.focus()}
      disabled=${isDisabled}
      value=${model ?? ""}
      onChange=${(event) => onModel(event.target.value || null)}
    >
      <option value="">Default model</option>
      <option value="auto">auto</option>
      ${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
    </select>
  `;
}
