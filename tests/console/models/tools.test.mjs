import assert from "node:assert/strict";
import { test } from "node:test";
import { commandOf, exitCodeOf, imagesOf, summaryOf, textOf } from "../../../src/rhetor/console/model/tools.js";

test("the summary of a call is its most telling argument", () => {
  assert.equal(summaryOf({ description: "List", command: "ls -l\npwd" }), "ls -l");
  assert.equal(summaryOf({ file_path: "/a/b.py", limit: 3 }), "/a/b.py");
  assert.equal(summaryOf({ changes: [{ path: "a" }, { path: "b" }] }), "a, b");
  assert.equal(summaryOf({ text: "hi", number: 1 }), "hi");
  assert.equal(summaryOf("plain"), "plain");
  for (const nothing of [null, undefined, {}, [], { a: null }]) assert.equal(summaryOf(nothing), "");
});

test("a command is shown without the shell that runs it", () => {
  assert.equal(commandOf({ command: "/bin/bash -lc 'touch x && echo made'" }), "touch x && echo made");
  assert.equal(commandOf({ command: ["/bin/bash", "-lc", "ls"] }), "ls");
  assert.equal(commandOf({ command: ["git", "status"] }), "git status");
  assert.equal(commandOf({ cmd: "bash script.sh" }), "bash script.sh");
  assert.equal(commandOf({ path: "x" }), "");
});

test("the text of a result is found in the forms of all agents", () => {
  assert.equal(textOf("made"), "made");
  assert.equal(textOf([{ type: "text", text: "a" }, { type: "text", text: "b" }]), "a\nb");
  assert.equal(textOf([{ type: "content", content: { type: "text", text: "a" } }]), "a");
  assert.equal(textOf({ aggregatedOutput: "out", exitCode: 0 }), "out");
  assert.equal(textOf({ content: [{ type: "text", text: "mcp" }], isError: false }), "mcp");
  assert.equal(textOf({ rows: 3 }), null);
  assert.equal(textOf(null), "");
  assert.equal(exitCodeOf({ exitCode: 1 }), 1);
});

test("only images that a browser shows safely are images of a result", () => {
  const image = (mimeType, data) => ({ content: [{ type: "image", mimeType, data }] });
  assert.deepEqual(imagesOf(image("image/png", "AAAA")), [{ mimeType: "image/png", data: "AAAA" }]);
  assert.deepEqual(imagesOf(image("image/svg+xml", "AAAA")), []);
  assert.deepEqual(imagesOf(image("image/png", '" onerror="x')), []);
  for (const nothing of [null, "x", 3, {}, [null]]) assert.deepEqual(imagesOf(nothing), []);
});
