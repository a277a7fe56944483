// What was used and spent, as bars, as tables, and as what is left of the budgets.
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { get } from "#client/api.js";
import { amountOf, GROUPS, nameOf, stacked, unpricedOf } from "#model/usage.js";
import { Trouble } from "#parts/loaded.js";
import { countText, moneyText, timeText } from "#parts/text.js";

// Stacked bars, one for each day, drawn by uPlot. The arrow keys move from day to day; what the day has is
// read out, so that the plot needs no eyes and no mouse.

const HEIGHT = 260;
const STEPS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -7, PageUp: 7, Home: -1e6, End: 1e6 };
const dark = matchMedia("(prefers-color-scheme: dark)");

// `series`: [{name, values, isRest}]. `text`: writes an amount. `summary`: what the plot shows, in words.
export function Bars({ days, series, text, summary }) {
  const place = useRef(null);
  const plot = useRef(null);
  const [index, setIndex] = useState(null);
  const at = Math.min(index ?? days.length - 1, days.length - 1);
  useEffect(() => {
    const draw = () => {
      plot.current?.destroy();
      plot.current = drawn(place.current, { days, series, text, onDay: setIndex });
    };
    draw();
    return watchLook(place.current, () => plot.current, draw);
  }, [days, series]);
  const move = (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const next = Math.min(days.length - 1, Math.max(0, at + step));
    plot.current.setCursor({ left: plot.current.valToPos(next, "x"), top: 1 });
    setIndex(next);
  };
  return html`
    <figure class="bars">
      <div
        ref=${place} class="plot" role="slider" tabindex="0" aria-label=${summary} aria-valuemin="0"
        aria-valuemax=${days.length - 1} aria-valuenow=${at} aria-valuetext=${spoken(days, series, text, at)} onKeyDown=${move}
      ></div>
      <figcaption>
        <p class="day">${days[at]}</p>
        <ul class="legend">
          ${series.map(
            ({ name, values, isRest }, place) => html`
              <li key=${name}><span class="swatch swatch-${isRest ? "rest" : place + 1}" aria-hidden="true"></span>
                <span class="name" dir="auto">${name}</span> <span class="amount">${text(values[at])}</span></li>
            `,
          )}
        </ul>
      </figcaption>
    </figure>
  `;
}

function spoken(days, series, text, index) {
  return `${days[index]}: ${series.map(({ name, values }) => `${name} ${text(values[index])}`).join(", ")}`;
}

function drawn(element, { days, series, text, onDay }) {
  const color = (name) => getComputedStyle(element).getPropertyValue(name).trim();
  const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
  const bars = uPlot.paths.bars({ size: [0.85, 48] });
  const shown = series.map(({ name, isRest }, place) => ({
    label: name, fill: color(isRest ? "--series-rest" : `--series-${place + 1}`), stroke: color("--surface"), width: 1,
    paths: bars, points: { show: false },
  }));
  const options = {
    width: element.clientWidth, height: HEIGHT, legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: { x: { time: false, range: [-0.6, days.length - 0.4] }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] } },
    axes: [
      { ...axis, incrs: [1, 2, 5, 7, 14, 30, 60, 90, 180, 365], space: 70, grid: { show: false }, values: (_, at) => at.map((each) => labelOf(days, each)) },
      { ...axis, size: 70, values: (_, at) => at.map(text) },
    ],
    series: [{}, ...shown.toReversed()],
    hooks: { setCursor: [(plot) => plot.cursor.idx != null && onDay(plot.cursor.idx)] },
  };
  // the highest bars are drawn first, and the lower ones over them
  return new uPlot(options, [days.map((_, place) => place), ...stacked(series).toReversed()], element);
}

const labelOf = (days, at) => (Number.isInteger(at) && days[at] ? days[at].slice(days.length > 300 ? 0 : 5) : "");

// Follow the size of the place and the colors of the page.
function watchLook(element, plotOf, draw) {
  const size = new ResizeObserver(() => plotOf()?.setSize({ width: element.clientWidth, height: HEIGHT }));
  const theme = new MutationObserver(draw);
  size.observe(element);
  theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  dark.addEventListener("change", draw);
  return () => {
    size.disconnect();
    theme.disconnect();
    dark.removeEventListener("change", draw);
    plotOf()?.destroy();
  };
}

// The figures of a usage report as tables: by group, and by group and day.

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

// The budgets in force, and what is used of each.

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
