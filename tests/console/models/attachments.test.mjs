import assert from "node:assert/strict";
import { test } from "node:test";
import { decoded, isText, MOST_BYTES, MOST_FILES, partsOf, whyNot } from "../../../src/rhetor/console/model/attachments.js";

const bytes = (number) => `${number} B`;

test("a file that is empty, too large or too many is not attached, and the reason says what to do", () => {
  assert.equal(whyNot({ name: "a", size: 1 }, [], bytes), null);
  assert.match(whyNot({ name: "a", size: 0 }, [], bytes), /a is empty/);
  assert.match(whyNot({ name: "a", size: MOST_BYTES + 1 }, [], bytes), /Make it smaller/);
  assert.match(whyNot({ name: "a", size: 2 }, [{ bytes: MOST_BYTES - 1 }], bytes), /Send a with the next message/);
  assert.match(whyNot({ name: "a", size: 1 }, Array(MOST_FILES).fill({ bytes: 0 }), bytes), /20 files/);
});

test("a text is a part between fences, and everything else is uploaded", () => {
  const files = [
    { name: "a\nb.txt", text: "hi\n", bytes: 3, media_type: "text/plain", blob_id: null },
    { name: "p.png", text: null, bytes: 3, media_type: "image/png", blob_id: "b_1" },
    { name: "d.pdf", text: null, bytes: 3, media_type: "application/pdf", blob_id: "b_2" },
  ];
  assert.deepEqual(partsOf(files, () => "x"), [
    { type: "text", text: "[File a?b.txt]\n--- x ---\nhi\n--- x ---" },
    { type: "image", blob_id: "b_1", media_type: "image/png", name: "p.png" },
    { type: "file", blob_id: "b_2", media_type: "application/pdf", name: "d.pdf" },
  ]);
});

test("a file without a type is text if it is UTF-8", () => {
  assert.ok(isText({ type: "", size: 10 }) && isText({ type: "application/json", size: 10 }));
  assert.ok(!isText({ type: "image/svg+xml", size: 10 }) && !isText({ type: "application/pdf", size: 10 }));
  assert.ok(!isText({ type: "text/plain", size: 10 ** 7 }));
  assert.equal(decoded(new Uint8Array([0xff, 0xfe])), null);
  assert.equal(decoded(new Uint8Array([65, 0])), null);
  assert.equal(decoded(new TextEncoder().encode("é")), "é");
});
