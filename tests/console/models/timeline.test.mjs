import assert from "node:assert/strict";
import { test } from "node:test";
import { chainOf, idsOf } from "../../../src/rhetor/console/model/timeline.js";

const checkpoint = (id, from) => ({ checkpoint_id: id, from });
const shape = (chain) => chain.map(({ checkpoint, isCurrent, branches }) => [`${checkpoint?.checkpoint_id ?? ""}${isCurrent ? "*" : ""}`, ...branches.map(shape)]);

test("checkpoints that follow one another are a chain", () => {
  assert.deepEqual(shape(chainOf([checkpoint("a", null), checkpoint("b", "a")], "b")), [[""], ["a"], ["b*"]]);
});

test("the chain leads to the current checkpoint, and what leads elsewhere is a branch", () => {
  const all = [checkpoint("a", null), checkpoint("b", "a"), checkpoint("c", "b"), checkpoint("d", "a"), checkpoint("e", "d")];
  assert.deepEqual(shape(chainOf(all, "c")), [[""], ["a", [["d"], ["e"]]], ["b"], ["c*"]]);
  assert.deepEqual(shape(chainOf(all, "e")), [[""], ["a", [["b"], ["c"]]], ["d"], ["e*"]]);
  assert.deepEqual(idsOf(chainOf(all, "c")), ["a", "d", "e", "b", "c"]);
});

test("after the current checkpoint, the newest one follows", () => {
  const all = [checkpoint("a", null), checkpoint("b", "a"), checkpoint("c", "a")];
  assert.deepEqual(shape(chainOf(all, "a")), [[""], ["a*", [["b"]]], ["c"]]);
});

test("a checkpoint whose origin was removed begins at the beginning", () => {
  assert.deepEqual(shape(chainOf([checkpoint("b", "gone")], null)), [["*"], ["b"]]);
  assert.deepEqual(shape(chainOf([], null)), [["*"]]);
});
