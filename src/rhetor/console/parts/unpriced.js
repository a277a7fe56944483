// Which turns have no known price. They are in no sum, so the page names them.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { get } from "#client/api.js";
import { unpricedOf } from "#model/usage.js";
import { countText } from "#parts/text.js";

export function Unpriced({ report }) {
  const { total, from, to, group_by: by } = report;
  const [byModel, setByModel] = useState(null);
  useEffect(() => {
    setByModel(by === "model" ? report : null);
    if (by === "model" || total.unpriced_turns === 0) return undefined;
    const abort = new AbortController();
    const query = new URLSearchParams({ group_by: "model", from, to });
    get(`/api/analytics/costs?${query}`, { signal: abort.signal }).then(setByModel, () => {});
    return () => abort.abort();
  }, [report]);
  if (total.unpriced_turns === 0) return null;
  return html`
    <div class="unpriced">
      <p>${turns(total.unpriced_turns)} without a known price ${total.unpriced_turns === 1 ? "is" : "are"} not in the cost:</p>
      ${byModel && html`<ul>${unpricedOf(byModel).map((each) => html`<li key=${each.name}><${Name} ...${each} /></li>`)}</ul>`}
      <p class="hint">Set prices with <code>models.prices</code> in the <a href="/settings?find=models.prices">settings</a>. Wrapped programs report no tokens.</p>
    </div>
  `;
}

function Name({ name, turns: count, unreported }) {
  const silent = unreported === count ? ", no tokens reported" : `, ${countText(unreported)} of them reported no tokens`;
  return html`<span dir="auto">${name}</span>: ${turns(count)}${unreported > 0 && silent}`;
}

const turns = (count) => (count === 1 ? "1 turn" : `${countText(count)} turns`);
