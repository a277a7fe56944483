import assert from "node:assert/strict";
import { test } from "node:test";
import { editable, matches, namedSections, parsed, patchOf, settingsOf } from "../../../src/rhetor/console/model/settings.js";

const HOPS = { key: "limits.hops", type: "integer", minimum: 1, description: "peers that a message may pass" };
const HOSTS = { key: "hub.allowed_hosts", type: "array", items: { type: "string", pattern: "^[^*]*$", expected: "an exact value" }, description: "" };
const BUDGET = { key: "budgets.NAME.usd_per_day", type: "string", description: "USD" };
const RECIPIENT = { key: "notify.N.kind", type: "string", choices: ["ntfy", "webhook"], description: "" };

test("a value is described by its key, also if a user chose a part of it", () => {
  const config = [
    { key: "limits.hops", value: 8, origin: "built in" },
    { key: "budgets.peer.apollo.usd_per_day", value: "1", origin: "/c:2" },
    { key: "notify.0.kind", value: "ntfy", origin: "/c:4" },
    { key: "limitsXhops", value: 1, origin: "built in" },
  ];
  const [hops, budget, recipient, other] = settingsOf(config, [HOPS, BUDGET, RECIPIENT]);
  assert.deepEqual([hops.about, hops.path, hops.group], [HOPS, ["limits", "hops"], "limits"]);
  assert.deepEqual(budget.path, ["budgets", "peer.apollo", "usd_per_day"]);
  assert.deepEqual(patchOf(budget.path, null), { budgets: { "peer.apollo": { usd_per_day: null } } });
  assert.deepEqual([recipient.about, recipient.path], [RECIPIENT, null]);
  assert.equal(other.about, null);
});

test("what is typed is checked before it is sent", () => {
  assert.deepEqual(parsed("12", HOPS), { value: 12 });
  for (const [text, problem] of [["0", "Enter at least 1."], ["1.5", "Enter a whole number."], ["x", "Enter a number."]]) {
    assert.deepEqual(parsed(text, HOPS), { problem });
  }
  assert.deepEqual(parsed("0", { type: "number", above: 0 }), { problem: "Enter more than 0." });
  assert.deepEqual(parsed("a.example\n b.example \n", HOSTS), { value: ["a.example", "b.example"] });
  assert.deepEqual(parsed("*.example", HOSTS), { problem: "*.example: Enter an exact value." });
  assert.deepEqual(parsed("gopher", RECIPIENT), { problem: "Enter ntfy or webhook." });
  assert.deepEqual(parsed("true", { type: "boolean" }), { value: true });
  assert.deepEqual(parsed('{"a": 1}', { type: "object" }), { value: { a: 1 } });
  assert.deepEqual(parsed("[1]", { type: "object" }), { problem: "Enter a JSON object, such as {}." });
});

test("an empty text stands for the built-in value, and for a list without entries", () => {
  assert.deepEqual(parsed(" ", HOPS), { value: null });
  assert.deepEqual(parsed("", HOSTS), { value: [] });
});

test("a value that may also be a list is written as a text or as JSON", () => {
  const about = { type: "string", choices: ["all"], or_else: { type: "array", items: { type: "string" } } };
  assert.deepEqual(parsed("all", about), { value: "all" });
  assert.deepEqual(parsed('["a", "b"]', about), { value: ["a", "b"] });
  assert.deepEqual(parsed("some", about), { problem: "Enter all." });
});

test("what is shown for editing means the same again", () => {
  for (const [value, about] of [[8, HOPS], [["a", "b"], HOSTS], [{ a: [1] }, { type: "object" }], [true, { type: "boolean" }]]) {
    assert.deepEqual(parsed(editable(value, about), about), { value });
  }
  assert.equal(editable(null, HOPS), "");
});

test("settings are found by their key and what they mean", () => {
  const [hops] = settingsOf([{ key: "limits.hops", value: 8, origin: "" }], [HOPS]);
  assert.ok(matches(hops, "HOPS message"));
  assert.ok(!matches(hops, "hops budget"));
  assert.ok(matches(hops, ""));
});

test("sections whose entries have names are listed with their members", () => {
  assert.deepEqual(namedSections([HOPS, BUDGET, { key: "teams.NAME", type: "array" }]).map(({ prefix, members }) => [prefix, members.map(({ member }) => member)]), [
    ["budgets", ["usd_per_day"]],
    ["teams", [""]],
  ]);
});
