import assert from "node:assert/strict";
import { test } from "node:test";
import { layout } from "../../../src/rhetor/console/model/line.js";
import { EMPTY, fold, lastSteps, previewed } from "../../../src/rhetor/console/model/line.js";

const STEPS = [
  { id: "s1", ai: "apollo", depends_on: [], session_id: null },
  { id: "s2", ai: "athena", depends_on: ["s1"], session_id: null },
  { id: "s3", ai: "apollo", depends_on: ["s2"], session_id: "s_9" },
];
const event = (type, step, data = {}, at = "2026-01-01T00:00:00Z") => ({ type, step, turn_id: `t_${step}`, at, data: { step, ...data } });
const begun = fold(EMPTY, { type: "plan.started", step: null, data: { steps: STEPS } });
const states = ({ steps }) => steps.map(({ state }) => state);

test("a run has the state, the times and the answer of each step", () => {
  const events = [
    event("step.started", "s1", { peer: "apollo", session_id: null, turn_id: "t_1", capability: null }),
    event("message.accepted", "s1", { content: "plan" }),
    event("output.delta", "s1", { text: "thinking", channel: "reasoning" }),
    event("output.delta", "s1", { text: "on", channel: "answer" }),
    event("output.delta", "s1", { text: "e", channel: "answer" }),
  ];
  const running = events.reduce(fold, begun);
  assert.deepEqual(states(running), ["running", "waiting", "waiting"]);
  assert.deepEqual([running.steps[0].text, running.steps[0].asked], ["one", "plan"]);
  const done = fold(running, event("step.done", "s1", { text: "one." }, "2026-01-01T00:00:02Z"));
  assert.deepEqual([done.steps[0].state, done.steps[0].text, done.steps[0].endedAt], ["done", "one.", "2026-01-01T00:00:02Z"]);
  const failed = fold(done, event("step.failed", "s2", { code: "x", detail: "it broke", data: { hint: "mend it" } }));
  const over = [event("step.skipped", "s3", { because: "s2" }), { type: "plan.ended", step: null, at: "", data: { status: "failed" } }].reduce(fold, failed);
  assert.deepEqual([states(over), over.status], [["done", "failed", "skipped"], "failed"]);
  assert.deepEqual([over.steps[1].detail, over.steps[1].hint, over.steps[2].because], ["it broke", "mend it", "s2"]);
});

test("a stopped plan leaves no step that seems to run", () => {
  const running = fold(begun, event("step.started", "s1", { peer: "apollo" }));
  assert.deepEqual(states(fold(running, { type: "plan.ended", step: null, at: "", data: { status: "cancelled" } })), ["stopped", "stopped", "stopped"]);
});

test("a team of a preview has a step for each member, and the next step needs all of them", () => {
  const { steps } = previewed([
    { step: "s1", peer: null, kind: "team", label: "team:reviewers", members: ["apollo", "athena"], depends_on: [] },
    { step: "s2", peer: "apollo", kind: "capability", label: "@code", members: [], depends_on: ["s1"] },
  ]);
  assert.deepEqual(steps.map(({ id, peer, needs }) => [id, peer, needs]), [
    ["s1.apollo", "apollo", []], ["s1.athena", "athena", []], ["s2", "apollo", ["s1.apollo", "s1.athena"]],
  ]);
  assert.deepEqual(lastSteps(steps).map(({ id }) => id), ["s2"]);
});

test("steps are in layers after all that they need, in either direction, and never on one another", () => {
  const steps = [["a", []], ["b", ["a"]], ["c", ["a"]], ["d", ["b", "c"]], ["e", ["a", "d"]], ["f", []]].map(([id, needs]) => ({ id, needs }));
  for (const isUpright of [false, true]) {
    const { nodes, edges, width, height } = layout(steps, isUpright);
    const at = Object.fromEntries(nodes.map((node) => [node.id, node]));
    const along = isUpright ? "y" : "x";
    for (const { from, to } of edges) assert.ok(at[from][along] < at[to][along], `${from} ${to}`);
    assert.equal(edges.length, 6);
    const long = edges.find(({ from, to }) => from === "a" && to === "e").path;
    assert.equal(long.split("C").length - 1, 3); // it bends in both layers between
    for (const one of nodes) {
      assert.ok(one.x >= 0 && one.y >= 0 && one.x + one.width <= width && one.y + one.height <= height);
      for (const other of nodes) {
        const apart = one === other || Math.abs(one.x - other.x) >= one.width || Math.abs(one.y - other.y) >= one.height;
        assert.ok(apart, `${one.id} ${other.id}`);
      }
    }
  }
});

test("no steps and a circle give a drawing, too", () => {
  assert.deepEqual(layout([]).nodes, []);
  assert.equal(layout([{ id: "a", needs: ["b"] }, { id: "b", needs: ["a"] }]).nodes.length, 2);
});
