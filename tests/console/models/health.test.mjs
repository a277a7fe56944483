import assert from "node:assert/strict";
import { test } from "node:test";
import { findingsOf } from "../../../src/rhetor/console/model/health.js";

const STATUS = {
  version: "1.0", pid: 7, started_at: "2026-11-30T10:00:00.000Z", home: "/h", sockets: [], url: "http://127.0.0.1:8300",
  peers: 1, sessions: 0, running: 0, provider: { name: "openai", model: "m", base_url: "https://api" }, models: [],
  schedules: { active: 0, paused: 0, next_at: null, starts_again: true }, certificate: null,
};
const of = (status, more) => findingsOf({ status: { ...STATUS, ...status }, ready: { ok: true }, connection: "open", ...more });
const about = (found, name) => found.filter((each) => each.about === name);

test("a hub that works has no problem and no note", () => {
  const found = of({}, { budgets: [], notify: [], tools: [] });
  assert.deepEqual(found.map(({ state, about }) => [state, about]), [["good", "hub"], ["good", "provider"]]);
  assert.equal(found[1].text, "openai m at https://api");
});

test("problems come first, and each says what to do", () => {
  const tool = { name: "claude-code", display_name: "Claude Code", installed: true, login: { known: "no", how: "run claude" }, status: "available" };
  const found = of(
    {
      provider: { name: "stub", error: "no key", hint: "set STUB_API_KEY" },
      models: [{ setting: "models.default", model: "x/y", detail: "no such model", hint: "use x/z", unknown: true }],
      certificate: { state: "expired", expires: "2026-11-01T00:00:00.000Z", detail: null },
      schedules: { active: 2, paused: 0, next_at: "2026-12-01T10:00:00.000Z", starts_again: false },
    },
    { tools: [tool], notify: [{ name: "phone", kind: "ntfy", ok: false, detail: "404", hint: null, waiting: 2 }], ready: { ok: false, detail: "the hub is shutting down" } },
  );
  const states = found.map(({ state }) => state);
  assert.deepEqual(states, [...states].sort((a, b) => ["problem", "note", "good"].indexOf(a) - ["problem", "note", "good"].indexOf(b)));
  assert.equal(states.filter((each) => each === "problem").length, 6);
  for (const each of found) if (each.state !== "good") assert.ok(each.hint, each.about);
  assert.equal(about(found, "claude-code")[0].hint, "run claude");
  assert.equal(about(found, "schedules")[0].state, "note");
});

test("an agent that is not installed is no fault", () => {
  const tool = { name: "codex", installed: false, how_to_install: "npm install", login: { known: "unknown", how: "" }, status: "missing" };
  assert.deepEqual(about(of({}, { tools: [tool] }), "codex").map(({ state, hint }) => [state, hint]), [["absent", "npm install"]]);
});

test("the embedded model, a budget that is used up and a lost connection are named", () => {
  const budget = { name: "global", note: "1 turn has no known price", limits: [{ share: 1, period: "day", resets_at: "2026-12-01T00:00:00.000Z" }] };
  const found = of({ provider: { name: "offline" } }, { budgets: [budget], connection: "lost" });
  assert.match(about(found, "provider")[0].text, /embedded offline model/);
  assert.deepEqual(about(found, "budget").map(({ state }) => state), ["note", "note"]);
  assert.equal(about(found, "connection")[0].state, "problem");
});

test("without an answer there is nothing to say about the hub", () => {
  assert.deepEqual(findingsOf({ status: null, ready: null, connection: "open" }), []);
});

const HEALTH = {
  problems: [], store: { bytes: 4096, free_bytes: 9e12, oldest_event_at: new Date().toISOString() }, last_backup: null,
};
const daysAgo = (days) => new Date(Date.now() - days * 86_400_000).toISOString();

test("a hub that has kept events for long without a backup, or since the last one, says how to make one", () => {
  const backup = (health) => about(of({}, { health: { ...HEALTH, ...health } }), "backup").map(({ state, hint }) => [state, /rhetor backup/.test(hint)]);
  assert.deepEqual(backup({}), []);
  assert.deepEqual(backup({ store: { ...HEALTH.store, oldest_event_at: daysAgo(8) } }), [["note", true]]);
  assert.deepEqual(backup({ last_backup: { at: daysAgo(8), file: "/b" } }), [["note", true]]);
  assert.deepEqual(backup({ last_backup: { at: daysAgo(1), file: "/b" } }), [["good", false]]);
});

test("little free space is a problem", () => {
  const [found] = about(of({}, { health: { ...HEALTH, store: { ...HEALTH.store, free_bytes: 5e8 } } }), "store");
  assert.equal(found.state, "problem");
  assert.match(found.text, /476\.8 MiB are free/);
  assert.match(found.hint, /retention/);
});

test("a problem is listed once, whichever route reports it", () => {
  const stuck = { code: "stuck", detail: "codex has printed nothing", hint: "see: aish explain codex" };
  const health = { ...HEALTH, problems: [stuck, { code: "certificate", detail: "expires", hint: "" }, { code: "model", detail: "m", hint: "" }] };
  const tool = { name: "codex", installed: true, login: { known: "yes" }, status: "stuck", evidence: "no output" };
  const states = (found) => found.filter(({ state }) => state === "problem").map(({ about, hint }) => [about, hint]);
  assert.deepEqual(states(of({}, { health })), [["stuck", stuck.hint]]);
  assert.deepEqual(states(of({}, { health, tools: [tool] })).map(([name]) => name), ["codex"]);
});

test("callers without the scope admin see no store and no backup", () => {
  const found = of({}, { health: { ...HEALTH, store: null, last_backup: null } });
  assert.deepEqual(found.map(({ about }) => about), ["hub", "provider"]);
});
