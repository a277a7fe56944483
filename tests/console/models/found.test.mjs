import assert from "node:assert/strict";
import { test } from "node:test";
import { beginningOf, grouped, parametersOf, partsOf, pathOf } from "../../../src/rhetor/console/model/found.js";

test("marks are counted in characters, so signs beyond the basic plane move nothing", () => {
  assert.deepEqual(partsOf("a 😀 fox and 🦊 fox", [[4, 3], [14, 3]]), [
    { text: "a 😀 ", isMarked: false },
    { text: "fox", isMarked: true },
    { text: " and 🦊 ", isMarked: false },
    { text: "fox", isMarked: true },
  ]);
  assert.deepEqual(partsOf("<b>", []), [{ text: "<b>", isMarked: false }]);
});

test("a message is in its session at its turn, or in its plan", () => {
  assert.equal(pathOf({ stream: "s_1", turn_id: "t_2" }), "/sessions/s_1?turn=t_2");
  assert.equal(pathOf({ stream: "s_1", turn_id: null }), "/sessions/s_1");
  assert.equal(pathOf({ stream: "p_1", turn_id: "t_2" }), "/line?plan=p_1");
});

test("groups are in the order of their best hit", () => {
  const hits = ["b", "a", "b"].map((stream, number) => ({ stream, number }));
  assert.deepEqual(grouped(hits).map(({ stream, hits: own }) => [stream, own.length]), [["b", 2], ["a", 1]]);
});

test("the address gives the parameters of the API", () => {
  const sent = parametersOf(new URLSearchParams("q=+two+words+&peer=apollo&since=1d&group=session&model="), Date.UTC(2026, 0, 2));
  assert.equal(sent.toString(), "q=two+words&peer=apollo&since=2026-01-01T00%3A00%3A00.000Z");
});

test("the beginning of a text ends between two characters", () => {
  assert.equal(beginningOf("short"), "short");
  assert.equal(beginningOf("😀".repeat(6), 4), "😀😀😀😀…");
});
