// A permission request in a conversation: with its options while it waits, and as one line afterwards.
import { html } from "htm/preact";
import { summaryOf } from "#model/tools.js";
import { Permission } from "#parts/permission.js";

export function PermissionRow({ row: { request, answer } }) {
  if (!answer) return html`<${Permission} request=${request} stream=${request.session_id} />`;
  return html`<p class="note"><span dir="auto">${answerText(request, answer)}</span> <span class="muted" dir="auto">${summaryOf(request?.detail)}</span></p>`;
}

function answerText(request, { option_id: id, answers, by }) {
  const tool = request?.tool ?? "A permission request";
  if (answers) return `${tool}: ${Object.values(answers).flat().join(", ")}, answered by ${by}`;
  const option = request?.options.find(({ option_id: one }) => one === id);
  if (option) return `${tool}: ${option.name}, by ${by}`;
  return id ? `${tool}: ${id}, by ${by}` : `${tool}: no answer (${by})`;
}
