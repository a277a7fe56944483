// The budgets in force, and what is used of each.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { get } from "#client/api.js";
import { countText, moneyText, timeText } from "#parts/text.js";
import { Trouble } from "#parts/loaded.js";

const NEAR = 0.8; // from here on the hub warns, too

export function Budgets() {
  const [answer, setAnswer] = useState({});
  useEffect(() => {
    get("/api/v2/budgets").then(({ budgets }) => setAnswer({ budgets }), (problem) => setAnswer({ problem }));
  }, []);
  const { budgets, problem } = answer;
  return html`
    <section aria-labelledby="budgets">
      <h2 id="budgets">Budgets</h2>
      ${problem && html`<${Trouble} problem=${problem} />`}
      ${budgets?.length === 0 && html`<p class="muted">No budget limits what you use.</p>`}
      ${budgets?.length > 0 && html`<ul class="cards">${budgets.map((budget) => html`<${Budget} key=${budget.name} budget=${budget} />`)}</ul>`}
    </section>
  `;
}

function Budget({ budget }) {
  const { on_limit: then } = budget;
  return html`
    <li class="card budget">
      <h3 dir="auto">${budget.name}</h3>
      ${budget.limits.map((limit) => html`<${Limit} key=${limit.limit} limit=${limit} budget=${budget.name} />`)}
      <p class="muted">At the limit, ${then === "ask" ? "the turn waits and asks you" : html`<span dir="auto">${then.fallback}</span> answers instead`}.</p>
      ${budget.note && html`<p class="hint" dir="auto">${budget.note}</p>`}
    </li>
  `;
}

function Limit({ limit: { limit, value, spent, reserved, share, period, resets_at: resets }, budget }) {
  const text = limit === "tokens_per_day" ? (amount) => `${countText(amount)} tokens` : moneyText;
  const used = `${text(spent)} of ${text(value)} per ${period}`;
  return html`
    <div class="limit ${share >= 1 ? "reached" : share >= NEAR ? "near" : ""}">
      <p>${used} (${Math.floor(share * 100)}%)${Number(reserved) > 0 && `, ${text(reserved)} reserved`}</p>
      <meter min="0" max="1" high=${NEAR} optimum="0" value=${Math.min(1, share)} aria-label="${budget}: ${used}"></meter>
      <p class="muted">Resets ${timeText(resets)}</p>
    </div>
  `;
}
