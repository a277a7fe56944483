import assert from "node:assert/strict";
import { test } from "node:test";
import { describe, revealed } from "../../../src/rhetor/console/model/tools.js";

const lines = (detail, tool) => describe(detail, tool).lines.map(({ name, text }) => [name, text]);

test("a command that is the only argument has no name", () => {
  assert.deepEqual(lines({ tool_name: "Bash", input: { command: "ls -l" } }), [["", "ls -l"]]);
});

test("what the agent says comes after the arguments", () => {
  const detail = { input: { description: "List", command: "ls" }, decision_reason: "outside of the folder" };
  assert.deepEqual(lines(detail), [["command", "ls"], ["description", "List"], ["decision_reason", "outside of the folder"]]);
});

test("edits of Claude Code, ACP agents and Codex are changes of files", () => {
  const edit = { path: "/a", before: "x", after: "y", diff: null };
  const ofClaude = describe({ input: { file_path: "/a", old_string: "x", new_string: "y" } });
  assert.deepEqual([ofClaude.changes, ofClaude.lines], [[edit], []]);
  const ofAcp = describe({ toolCall: { toolCallId: "1", title: "Edit", content: [{ type: "diff", path: "/a", oldText: "x", newText: "y" }] } });
  assert.deepEqual([ofAcp.changes, ofAcp.lines], [[edit], [{ name: "", text: "Edit" }]]);
  const ofCodex = describe({ threadId: "t", method: "m", changes: { "/a": { diff: "-x\n+y" } }, reason: "to fix it" });
  assert.deepEqual(ofCodex.changes, [{ path: "/a", before: null, after: "", diff: "-x\n+y" }]);
  assert.deepEqual(ofCodex.lines, [{ name: "reason", text: "to fix it" }]);
});

test("several edits of one file are several changes", () => {
  const edits = [{ old_string: "a", new_string: "b" }, { old_string: "c", new_string: "d" }];
  assert.deepEqual(describe({ input: { file_path: "/a", edits } }).changes.map(({ after }) => after), ["b", "d"]);
});

test("only the hub's own tools can be a pause", () => {
  const detail = { paused: "quota", reason: "used up", resets_at: null, then: null };
  assert.equal(describe(detail, "quota").pause.reason, "used up");
  assert.equal(describe(detail, "Bash").pause, null);
  assert.equal(lines(detail, "Bash").length, 4);
});

test("anything may be the detail", () => {
  for (const detail of [null, undefined, "", "text", 7, [], [1], {}, { input: null }, { content: [null, 3], toolCallId: 1 }, { changes: [null] }])
    assert.equal(describe(detail, "x").pause, null);
  assert.deepEqual(lines("text"), [["", "text"]]);
});

test("characters that cannot be seen get a mark", () => {
  assert.equal(revealed("a\u200bb\tc\nd\u202ee\u00a0\u{e0041}é"), "a\\u{200b}b\tc\nd\\u{202e}e\\u{a0}\\u{e0041}é");
});
