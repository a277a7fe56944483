// The figures of a usage report as tables: by group, and by group and day.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { get } from "#client/api.js";
import { amountOf, GROUPS, nameOf, unpricedOf } from "#model/usage.js";
import { countText, moneyText } from "#parts/text.js";

const COLUMNS = [
  ["Turns", "turns"],
  ["Sessions", "sessions"],
  ["Input tokens", "input_tokens"],
  ["Output tokens", "output_tokens"],
];

export function UsageTable({ report: { group_by: by, rows, total } }) {
  return html`
    <div class="table" tabindex="0" role="region" aria-label="Figures by ${GROUPS[by].toLowerCase()}">
      <table>
        <caption>Figures by ${GROUPS[by].toLowerCase()}</caption>
        <thead>
          <tr>
            <th scope="col">${GROUPS[by]}</th>
            ${COLUMNS.map(([title]) => html`<th key=${title} scope="col" class="number">${title}</th>`)}
            <th scope="col" class="number">Cost</th>
            <th scope="col" class="number">Turns without a known price</th>
          </tr>
        </thead>
        <tbody>
          ${rows.map((row) => html`<${Row} key=${row.key ?? ""} name=${nameOf(by, row.key)} row=${row} />`)}
        </tbody>
        <tfoot><${Row} name="Total" row=${total} /></tfoot>
      </table>
    </div>
  `;
}

function Row({ name, row }) {
  return html`
    <tr>
      <th scope="row" dir="auto">${name}</th>
      ${COLUMNS.map(([title, member]) => html`<td key=${title} class="number"><data value=${row[member]}>${countText(row[member])}</data></td>`)}
      <td class="number"><data value=${row.cost ?? ""}>${moneyText(row.cost)}</data></td>
      <td class="number"><data value=${row.unpriced_turns}>${row.unpriced_turns ? countText(row.unpriced_turns) : "–"}</data></td>
    </tr>
  `;
}

// What the plot shows, in numbers. A group that had no usage on a day has an empty cell.
export function DayTable({ days, report: { group_by: by, rows }, measure }) {
  const cells = rows.map((row) => new Map(row.days.map((each) => [each.day, each])));
  const text = (day) => (day ? measure.text(amountOf(measure, day)) : "");
  const title = `${measure.name} by day and ${GROUPS[by].toLowerCase()}`;
  return html`
    <details>
      <summary>${title}</summary>
      <div class="table" tabindex="0" role="region" aria-label=${title}>
        <table>
          <thead>
            <tr><th scope="col">Day</th>${rows.map((row) => html`<th key=${row.key ?? ""} scope="col" class="number" dir="auto">${nameOf(by, row.key)}</th>`)}</tr>
          </thead>
          <tbody>
            ${days.map(
              (day) => html`
                <tr key=${day}>
                  <th scope="row">${day}</th>
                  ${rows.map((row, place) => html`<td key=${row.key ?? ""} class="number">${text(cells[place].get(day))}</td>`)}
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>
    </details>
  `;
}

// Which turns have no known price. They are in no sum, so the page names them.
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
