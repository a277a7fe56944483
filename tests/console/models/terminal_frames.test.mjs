import assert from "node:assert/strict";
import { test } from "node:test";
import { describeEnd, foldFrame, linksIn, pasteable, sequenceOf, webAddress, withControl } from "../../../src/rhetor/console/model/terminal_frames.js";

const EMPTY = { id: null, rows: 0, cols: 0, clients: [], notices: [] };

test("frames give the size, who watches, and the notices with the cursor to continue from", () => {
  const client = { id: "a_1", mode: "rw", from: "me" };
  const notice = { type: "notice", cursor: "e:7", from: "apollo", text: "hi" };
  const frames = [
    { type: "attached", id: "a_1", mode: "rw", rows: 24, cols: 80, clients: [client] },
    { type: "replayed" },
    { type: "size", rows: 20, cols: 60 },
    { type: "clients", clients: [client, { id: "a_2", mode: "r", from: "jill" }] },
    notice,
  ];
  assert.deepEqual(frames.reduce(foldFrame, EMPTY), {
    id: "a_1", rows: 20, cols: 60, clients: [client, { id: "a_2", mode: "r", from: "jill" }], notices: [notice], last: "e:7",
  });
});

test("only the last notices are kept", () => {
  let shared = EMPTY;
  for (let number = 1; number <= 150; number += 1) shared = foldFrame(shared, { type: "notice", cursor: `e:${number}` });
  assert.equal(shared.notices.length, 100);
  assert.equal(shared.last, "e:150");
});

test("the end of a program is described", () => {
  assert.equal(describeEnd({ type: "exited", exit_code: 3, signal: null }).text, "The program has ended with exit code 3.");
  assert.equal(describeEnd({ type: "exited", exit_code: null, signal: 9 }).text, "The program was ended by signal 9.");
  assert.equal(describeEnd({ type: "exited", exit_code: null, signal: null }).text, "The program has ended.");
  assert.equal(describeEnd({ type: "lost", reason: "the program was lost: it is gone" }).text, "The program was lost: it is gone.");
});

test("pasted text keeps tabs and ends of lines, and no other control character", () => {
  assert.equal(pasteable("a\tb\r\nc\x1b[201~\x03\x7f\x9bd"), "a\tb\r\nc[201~d");
});

test("the arrows send what the program chose", () => {
  assert.equal(sequenceOf("ArrowUp", { applicationCursorKeysMode: false }), "\x1b[A");
  assert.equal(sequenceOf("ArrowUp", { applicationCursorKeysMode: true }), "\x1bOA");
  assert.equal(sequenceOf("Escape", {}), "\x1b");
});

test("Control changes letters and a few signs, and nothing else", () => {
  assert.equal(withControl("c"), "\x03");
  assert.equal(withControl("C"), "\x03");
  assert.equal(withControl("["), "\x1b");
  assert.equal(withControl("ü"), null);
  assert.equal(withControl("cd"), null);
});

test("links end before the signs of the sentence", () => {
  const found = (text) => linksIn(text).map((link) => link.text);
  assert.deepEqual(found("see https://a.example/x, (https://b.example/y(z)) and http://c.example."), [
    "https://a.example/x", "https://b.example/y(z)", "http://c.example",
  ]);
  assert.deepEqual(found("javascript:alert(1) ftp://x xhttps://no"), []);
  assert.deepEqual(linksIn("at https://a.example")[0].start, 3);
});

test("only addresses of the web are opened", () => {
  assert.equal(webAddress("https://a.example/ü"), "https://a.example/%C3%BC");
  for (const text of ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "nothing", "//a.example"]) assert.equal(webAddress(text), null);
});
