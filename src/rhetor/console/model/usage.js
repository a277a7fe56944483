// What a usage report of the hub means: its days, the series of its plot, and what is not in its sums.
// Days are in UTC, because the hub counts them so.
import { countText, moneyText } from "#parts/text.js";

const MOST_SERIES = 6; // that have a color; the others are added up
const DAY_MILLISECONDS = 86_400_000;
const MOST_DAYS = 1_100; // that are plotted one by one

// What can be shown: where the hub reports it, and the numbers of a row. `null` is unknown, and is not 0.
export const MEASURES = {
  money: {
    name: "Money",
    path: "/api/analytics/costs",
    parts: [{ name: "Cost", of: (row) => (row.cost == null ? null : Number(row.cost)) }],
    text: moneyText,
    adds: true,
  },
  tokens: {
    name: "Tokens",
    path: "/api/analytics/usage",
    parts: [
      { name: "Input tokens", of: (row) => row.input_tokens },
      { name: "Output tokens", of: (row) => row.output_tokens },
    ],
    text: countText,
    adds: true,
  },
  sessions: {
    name: "Sessions",
    path: "/api/analytics/sessions",
    parts: [{ name: "Sessions", of: (row) => row.sessions }],
    text: countText,
    adds: false, // a session of two days counts on both
  },
};

export const GROUPS = { day: "Day", peer: "Peer", model: "Model", project: "Project", caller: "Caller" };
export const PERIODS = [7, 30, 90];

const NO_KEY = { model: "Unknown model", project: "No project" };

// What the address of the view asks for. What is not valid is as if it were absent.
export function choiceOf(query, today) {
  const show = Object.hasOwn(MEASURES, query.get("show")) ? query.get("show") : "money";
  const by = Object.hasOwn(GROUPS, query.get("by")) ? query.get("by") : "peer";
  const { from, to } = Object.fromEntries(query);
  if (isDay(from) && isDay(to)) return { show, by, from, to, days: null };
  const days = PERIODS.find((each) => String(each) === query.get("days")) ?? 30;
  return { show, by, from: addDays(today, 1 - days), to: today, days };
}

export function addressOf({ show, by, from, to, days }) {
  const period = days ? { days } : { from, to };
  return `/costs?${new URLSearchParams({ show, by, ...period })}`;
}

export const dayOf = (date) => date.toISOString().slice(0, 10);
export const isDay = (text) => /^\d{4}-\d\d-\d\d$/.test(text ?? "") && !Number.isNaN(Date.parse(text));

function addDays(day, count) {
  return dayOf(new Date(Date.parse(day) + count * DAY_MILLISECONDS));
}

// All days from the first to the last. Of a very long time, only those between the first and the last usage.
export function daysOf(from, to, used = []) {
  if ((Date.parse(to) - Date.parse(from)) / DAY_MILLISECONDS > MOST_DAYS) {
    if (used.length === 0) return [to];
    [from, to] = [used[0], used.at(-1)];
  }
  const days = [];
  for (let day = from; day <= to && days.length < 10 * MOST_DAYS; day = addDays(day, 1)) days.push(day);
  return days;
}

export function usedDays({ group_by: by, rows }) {
  const days = by === "day" ? rows.map((row) => row.key) : rows.flatMap((row) => row.days.map(({ day }) => day));
  return [...new Set(days)].sort();
}

export const nameOf = (by, key) => key ?? NO_KEY[by] ?? "Unknown";

// The series of a report: [{name, values}], one value for each day; the largest groups come first.
export function seriesOf(report, measure, days) {
  const { group_by: by, rows } = report;
  if (by === "day") {
    const found = new Map(rows.map((row) => [row.key, row]));
    return measure.parts.map(({ name, of }) => ({ name, values: days.map((day) => valueOf(of, found.get(day))) }));
  }
  const all = rows.map((row) => {
    const found = new Map(row.days.map((each) => [each.day, each]));
    return { name: nameOf(by, row.key), values: days.map((day) => amountOf(measure, found.get(day))) };
  });
  if (all.length <= MOST_SERIES) return all;
  const others = all.slice(MOST_SERIES - 1);
  const values = days.map((_, index) => sum(others.map((each) => each.values[index])));
  return [...all.slice(0, MOST_SERIES - 1), { name: `${others.length} others`, values, isRest: true }];
}

// A row's amount of what is shown; null if it is unknown.
export const amountOf = (measure, row) => sum(measure.parts.map(({ of }) => valueOf(of, row)));

const valueOf = (of, row) => (row ? of(row) : 0);

function sum(values) {
  const known = values.filter((value) => value != null);
  return known.length || values.length === 0 ? known.reduce((total, value) => total + value, 0) : null;
}

// Each series on top of those before it; null where it has nothing to draw.
export function stacked(series) {
  const tops = series[0]?.values.map(() => 0) ?? [];
  return series.map(({ values }) => values.map((value, index) => (value ? (tops[index] += value) : null)));
}

// One sentence that says what the plot shows.
export function summaryOf(measure, series, days) {
  const totals = days.map((_, index) => sum(series.map(({ values }) => values[index])) ?? 0);
  const most = totals.indexOf(Math.max(...totals));
  const name = measure.name.toLowerCase();
  if (!(totals[most] > 0)) return `There is nothing to plot: no ${name} from ${days[0]} to ${days.at(-1)}.`;
  const names = series.length > 1 ? `, by ${series.map((each) => each.name).join(", ")}` : "";
  return `${measure.name} per day from ${days[0]} to ${days.at(-1)}${names}. The most was ${measure.text(totals[most])} on ${days[most]}.`;
}

// What has no known price: [{name, turns, unreported}]. It is in no sum.
export function unpricedOf({ group_by: by, rows }) {
  return rows
    .filter((row) => row.unpriced_turns > 0)
    .map((row) => ({ name: nameOf(by, row.key), turns: row.unpriced_turns, unreported: row.unreported_turns }));
}
