import assert from "node:assert/strict";
import { test } from "node:test";
import { compare, parsePatch } from "../../../src/rhetor/console/model/diff.js";
import { editsOf } from "../../../src/rhetor/console/model/diff.js";

const plain = (lines) => lines.map(({ sign, text }) => sign + text);
const edits = (...given) => editsOf(...given).map(({ path, change, lines }) => [path, change, ...plain(lines)]);

test("a comparison has the changed lines, and three lines around them", () => {
  const before = "1\n2\n3\n4\n5\nold\n7\n8\n9\n10\n11\n";
  assert.deepEqual(plain(compare(before, before.replace("old", "new"))), [" 3", " 4", " 5", "-old", "+new", " 7", " 8", " 9"]);
});

test("changes that are far apart have a gap between them", () => {
  const lines = Array.from({ length: 30 }, (_, index) => `${index}`);
  const after = lines.with(2, "a").with(25, "b");
  assert.equal(plain(compare(lines.join("\n"), after.join("\n"))).filter((line) => line === "@…").length, 1);
});

test("huge texts that differ everywhere are compared in bounded time", () => {
  const text = (mark) => Array.from({ length: 20_000 }, (_, index) => `${mark}${index}`).join("\n");
  const begun = performance.now();
  assert.equal(compare(text("a"), text("b")).length, 40_000);
  assert.ok(performance.now() - begun < 2000);
});

test("a removed line that looks like the head of a patch is kept", () => {
  const patch = "--- a/x.sql\n+++ b/x.sql\n@@ -1,2 +1 @@\n--- a comment\n select 1;\n";
  assert.deepEqual(plain(parsePatch(patch)), ["@@@ -1,2 +1 @@", "--- a comment", " select 1;"]);
});

test("Edit, MultiEdit and Write of Claude Code", () => {
  assert.deepEqual(edits("Edit", { file_path: "/a", old_string: "x", new_string: "y" }), [["/a", "changed", "-x", "+y"]]);
  const two = { file_path: "/a", edits: [{ old_string: "x", new_string: "y" }, { old_string: "", new_string: "z" }] };
  assert.deepEqual(edits("MultiEdit", two), [["/a", "changed", "-x", "+y"], ["/a", "changed", "+z"]]);
  assert.deepEqual(edits("Write", { file_path: "/f", content: "hello file" }), [["/f", "written", "+hello file"]]);
  assert.deepEqual(edits("Read", { file_path: "/f" }, "content"), []);
});

test("apply_patch of Codex, as its server reports it and as the model writes it", () => {
  const changes = [
    { path: "/new", kind: { type: "add" }, diff: "one\ntwo\n" },
    { path: "/old", kind: { type: "update", move_path: null }, diff: "@@ -1 +1 @@\n-a\n+b\n" },
  ];
  assert.deepEqual(edits("apply_patch", { changes }), [["/new", "added", "+one", "+two"], ["/old", "changed", "@@@ -1 +1 @@", "-a", "+b"]]);
  const input = "*** Begin Patch\n*** Update File: a.py\n@@\n-x\n+y\n*** Delete File: b.py\n*** End Patch";
  const expected = [["a.py", "changed", "@@@", "-x", "+y"], ["b.py", "removed", "@the whole file"]];
  assert.deepEqual(edits("apply_patch", { input }), expected);
  assert.deepEqual(edits("shell", { command: ["apply_patch", input] }), expected);
});

test("diffs of ACP agents, in the arguments or in the result", () => {
  const content = [{ type: "diff", path: "/f.txt", oldText: "a\n", newText: "b\n" }];
  assert.deepEqual(edits("edit", { title: "Edit f.txt", kind: "edit", content }), [["/f.txt", "changed", "-a", "+b"]]);
  assert.deepEqual(edits("edit", {}, content), [["/f.txt", "changed", "-a", "+b"]]);
  assert.deepEqual(edits("edit", { content: [{ type: "diff", path: "/n", newText: "x" }] }), [["/n", "written", "+x"]]);
});

test("arguments of any form are no edit, and no error", () => {
  for (const given of [null, undefined, 3, "text", [], [1], { changes: [null, 1] }, { content: 5 }, { file_path: 3, old_string: {} }, { path: "/x", edits: [null] }]) {
    assert.deepEqual(edits("Edit", given, given), []);
  }
});
