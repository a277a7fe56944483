import assert from "node:assert/strict";
import { test } from "node:test";
import { addLine, charactersBefore, completed, linesIn, narrowed, unitOf, withProblems } from "../../../src/rhetor/console/model/line.js";

test("places are counted in characters", () => {
  assert.equal(charactersBefore("😀 a", 3), 2);
  assert.equal(unitOf("😀 a", 2), 3);
  assert.equal(unitOf("ab", 9), 2);
});

test("a candidate replaces what was typed, and a blank follows what is complete", () => {
  assert.deepEqual(completed('apollo "😀" | ath', { start: 13, end: 16 }, "athena"), { text: 'apollo "😀" | athena ', at: 21 });
  assert.deepEqual(completed("ap | athena", { start: 0, end: 2 }, "apollo"), { text: "apollo | athena", at: 6 });
  assert.deepEqual(completed("apollo --se", { start: 7, end: 11 }, "--session="), { text: "apollo --session=", at: 17 });
});

test("what is typed narrows the candidates, which then replace all of it", () => {
  const list = { start: 9, end: 10, active: 1, candidates: [{ text: "athena" }, { text: "apollo" }] };
  const after = narrowed(list, "apollo | AP", 11);
  assert.deepEqual(after, { start: 9, end: 11, active: -1, candidates: [{ text: "apollo" }] });
  assert.equal(completed("apollo | AP", after, "apollo").text, "apollo | apollo ");
  assert.deepEqual(narrowed(list, "apollo", 6).candidates, []);
  assert.deepEqual(narrowed({ active: -1, candidates: [] }, "a", 1).candidates, []);
});

test("each problem is at its place, also at the end of the line", () => {
  const one = { start: 3, length: 4, detail: "x" };
  assert.deepEqual(withProblems("😀 |nope", [one]), [
    { text: "😀 |", problem: null }, { text: "nope", problem: one },
  ]);
  const end = { start: 2, length: 0, detail: "y" };
  assert.deepEqual(withProblems("ab", [end]), [{ text: "ab", problem: null }, { text: " ", problem: end }]);
  assert.deepEqual(withProblems("ab", []), [{ text: "ab", problem: null }]);
});

test("the last lines are kept, and one that is damaged is forgotten", () => {
  const kept = new Map();
  const storage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, text) => kept.set(name, text) };
  for (let number = 0; number < 120; number += 1) addLine(storage, { line: `${number}`, plan: `p_${number}` });
  assert.deepEqual([linesIn(storage).length, linesIn(storage)[0].line], [100, "119"]);
  kept.set("lines", "{");
  assert.deepEqual(linesIn(storage), []);
});
