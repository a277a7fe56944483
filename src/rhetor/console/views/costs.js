// What peers, models, projects and callers have used: a plot by day, the same figures as a table, and budgets.
import { html } from "htm/preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { navigate } from "#app/router.js";
import { get, getText } from "#client/api.js";
import { addressOf, choiceOf, dayOf, daysOf, GROUPS, isDay, MEASURES, PERIODS, seriesOf, summaryOf, usedDays } from "#model/usage.js";
import { Trouble } from "#parts/loaded.js";
import { Bars, Budgets, DayTable, Unpriced, UsageTable } from "#parts/usage.js";

export default function Costs({ query }) {
  const choice = choiceOf(query, dayOf(new Date()));
  const [answer, setAnswer] = useState({});
  const path = pathOf(choice);
  useEffect(() => {
    const abort = new AbortController();
    get(path, { signal: abort.signal }).then(
      (report) => setAnswer({ report, path }),
      (problem) => problem.name !== "AbortError" && setAnswer({ problem, path }),
    );
    return () => abort.abort();
  }, [path]);
  return html`
    <h1>Costs</h1>
    <${Choice} choice=${choice} />
    ${answer.problem && html`<${Trouble} problem=${answer.problem} />`}
    ${!answer.path && html`<p class="loading" role="status">Loading…</p>`}
    ${answer.report && html`<${Report} report=${answer.report} choice=${choice} path=${answer.path} isOld=${answer.path !== path} />`}
    <${Budgets} />
  `;
}

function pathOf({ show, by, from, to }) {
  return `${MEASURES[show].path}?${new URLSearchParams({ group_by: by, from, to, by_day: true })}`;
}

// The controls. A day that was typed by half changes nothing yet.
function Choice({ choice }) {
  const change = (changed) => navigate(addressOf({ ...choice, ...changed }), { replace: true });
  const toDay = (name) => (event) => isDay(event.target.value) && change({ [name]: event.target.value, days: null });
  return html`
    <form class="costs-choice" aria-label="What to show" onSubmit=${(event) => event.preventDefault()}>
      <${Select} name="Show" value=${choice.show} onChange=${(show) => change({ show })}
        options=${Object.entries(MEASURES).map(([value, { name }]) => [value, name])} />
      <${Select} name="Group by" value=${choice.by} onChange=${(by) => change({ by })} options=${Object.entries(GROUPS)} />
      <${Select} name="Period" value=${choice.days ?? ""} onChange=${(days) => change({ days: Number(days) || null })}
        options=${[...PERIODS.map((days) => [days, `Last ${days} days`]), ["", "Other days"]]} />
      <label>From <input type="date" required value=${choice.from} max=${choice.to} onChange=${toDay("from")} /></label>
      <label>To <input type="date" required value=${choice.to} min=${choice.from} onChange=${toDay("to")} /></label>
    </form>
  `;
}

function Select({ name, value, options, onChange }) {
  return html`
    <label>${name} <select value=${value} onChange=${(event) => onChange(event.target.value)}>
      ${options.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}
    </select></label>
  `;
}

function counted(number, noun) {
  return `${number.toLocaleString()} ${number === 1 ? noun : `${noun}s`}`;
}

function Report({ report, choice, path, isOld }) {
  const measure = Object.values(MEASURES).find((each) => path.startsWith(each.path));
  const days = useMemo(() => daysOf(report.from, report.to, usedDays(report)), [report]);
  const series = useMemo(() => seriesOf(report, measure, days), [report]);
  const { total } = report;
  if (total.turns === 0 && total.input_tokens + total.output_tokens === 0) return html`<${Nothing} report=${report} />`;
  return html`
    <div aria-busy=${isOld}>
      <p class="total"><data value=${total.cost ?? ""}>${MEASURES.money.text(total.cost)}</data> for ${counted(total.turns, "turn")} in ${counted(total.sessions, "session")}</p>
      <${Unpriced} report=${report} />
      <${Bars} days=${days} series=${series} text=${measure.text} summary=${summaryOf(measure, series, days)} />
      <${UsageTable} report=${report} />
      ${report.group_by !== "day" && html`<${DayTable} days=${usedDays(report)} report=${report} measure=${measure} />`}
      <${Download} path=${path} report=${report} />
      <p class="hint">Days are in UTC. Prices are from ${report.prices.source} ${report.prices.version}${report.prices.date && ` of ${report.prices.date}`}, from providers, or from your settings.</p>
    </div>
  `;
}

function Nothing({ report }) {
  return html`
    <div class="empty">
      <p>Nothing was used from ${report.from} to ${report.to}.</p>
      <p class="hint">Usage is counted when a turn ends. Choose other days, or <a href="/">send a message to a peer</a>.</p>
    </div>
  `;
}

function Download({ path, report }) {
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const load = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const text = await getText(path, { headers: { accept: "text/csv" } });
      save(new Blob([text], { type: "text/csv" }), `usage-by-${report.group_by}-${report.from}-${report.to}.csv`);
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  return html`<p><button onClick=${load} disabled=${isBusy}>Download as CSV</button></p>${problem && html`<${Trouble} problem=${problem} />`}`;
}

// Saves content as a file of the user's machine.
function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers read it later
}
