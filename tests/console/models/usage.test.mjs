import assert from "node:assert/strict";
import { test } from "node:test";
import {
  addressOf, choiceOf, daysOf, MEASURES, seriesOf, stacked, summaryOf, unpricedOf, usedDays,
} from "../../../src/rhetor/console/model/usage.js";

const { money, tokens, sessions } = MEASURES;
const row = (key, more) => ({
  key, turns: 1, sessions: 1, input_tokens: 10, output_tokens: 2, cost: "0.10", unpriced_turns: 0, unreported_turns: 0, ...more,
});
const onDay = (day, more) => ({ ...row(null, more), day });
const choose = (text) => choiceOf(new URLSearchParams(text), "2026-11-30");

test("the address says what is shown, and an invalid one shows the last 30 days", () => {
  const usual = { show: "money", by: "peer", from: "2026-11-01", to: "2026-11-30", days: 30 };
  assert.deepEqual(choose(""), usual);
  for (const text of ["days=31", "show=colour&by=taste", "from=2026-11-01", "from=2026-13-01&to=2026-11-30"]) {
    assert.deepEqual(choose(text), usual, text);
  }
  assert.deepEqual(choose("days=7").from, "2026-11-24");
  const other = { show: "tokens", by: "model", from: "2026-02-27", to: "2026-03-02", days: null };
  assert.deepEqual(choose(addressOf(other).split("?")[1]), other);
  assert.deepEqual(choose(addressOf(choose("days=90&show=sessions")).split("?")[1]), choose("days=90&show=sessions"));
});

test("days are counted in UTC, across the end of February and changes of the clock", () => {
  assert.deepEqual(daysOf("2028-02-28", "2028-03-01"), ["2028-02-28", "2028-02-29", "2028-03-01"]);
  assert.equal(daysOf("2026-03-01", "2026-03-31").length, 31);
  assert.equal(daysOf("2026-10-01", "2026-10-31").length, 31);
});

test("a very long time is plotted only where something was used", () => {
  assert.deepEqual(daysOf("0001-01-01", "2026-11-30", ["2026-11-28", "2026-11-30"]), ["2026-11-28", "2026-11-29", "2026-11-30"]);
  assert.deepEqual(daysOf("0001-01-01", "2026-11-30", []), ["2026-11-30"]);
});

test("an unknown cost is not 0, and a day without usage is", () => {
  const days = ["2026-11-28", "2026-11-29", "2026-11-30"];
  const rows = [
    row("apollo", { days: [onDay("2026-11-28"), onDay("2026-11-30", { cost: null })] }),
    row(null, { days: [onDay("2026-11-29", { cost: "0.25" })] }),
  ];
  const report = { group_by: "model", rows };
  assert.deepEqual(usedDays(report), days);
  assert.deepEqual(seriesOf(report, money, days), [
    { name: "apollo", values: [0.1, 0, null] },
    { name: "Unknown model", values: [0, 0.25, 0] },
  ]);
  assert.deepEqual(seriesOf(report, tokens, days)[0].values, [12, 0, 12]);
  assert.deepEqual(stacked(seriesOf(report, money, days)), [[0.1, null, null], [null, 0.25, null]]);
});

test("by day, input and output tokens are two series", () => {
  const report = { group_by: "day", rows: [row("2026-11-30")] };
  assert.deepEqual(seriesOf(report, tokens, ["2026-11-29", "2026-11-30"]), [
    { name: "Input tokens", values: [0, 10] },
    { name: "Output tokens", values: [0, 2] },
  ]);
  assert.deepEqual(stacked(seriesOf(report, tokens, ["2026-11-30"])), [[10], [12]]);
});

test("with more groups than colors, the smallest are added up and nothing is left out", () => {
  const rows = Array.from({ length: 9 }, (_, index) => row(`peer ${index}`, { days: [onDay("2026-11-30", { sessions: 9 - index })] }));
  const series = seriesOf({ group_by: "peer", rows }, sessions, ["2026-11-30"]);
  assert.equal(series.length, 6);
  assert.deepEqual(series.at(-1), { name: "4 others", values: [4 + 3 + 2 + 1], isRest: true });
  assert.equal(stacked(series).at(-1)[0], 45);
});

test("the summary says the days, the groups and the most expensive day", () => {
  const series = [{ name: "apollo", values: [0.5, 2] }, { name: "athena", values: [null, 1] }];
  const text = summaryOf(money, series, ["2026-11-29", "2026-11-30"]);
  assert.equal(text, "Money per day from 2026-11-29 to 2026-11-30, by apollo, athena. The most was $3.00 on 2026-11-30.");
  assert.match(summaryOf(money, [{ name: "Cost", values: [null] }], ["2026-11-30"]), /^There is nothing to plot: no money/);
});

test("what has no known price is named", () => {
  const rows = [row("x"), row("y", { unpriced_turns: 2 }), row(null, { unpriced_turns: 3, unreported_turns: 3 })];
  assert.deepEqual(unpricedOf({ group_by: "model", rows }), [
    { name: "y", turns: 2, unreported: 0 },
    { name: "Unknown model", turns: 3, unreported: 3 },
  ]);
});
