import assert from "node:assert/strict";
import { test } from "node:test";
import { coveredBy, isKeyboard } from "../../../src/rhetor/console/app/viewport.js";

const seen = (height, more) => ({ height, offsetTop: 0, scale: 1, ...more });

test("a keyboard over the page covers its lower part", () => {
  assert.equal(coveredBy(800, seen(480)), 320);
  assert.equal(coveredBy(800, seen(480, { offsetTop: 100 })), 220); // the page was moved up
  assert.ok(isKeyboard(800, seen(480)));
});

test("a keyboard for which the page was made smaller covers nothing, and is there", () => {
  assert.equal(coveredBy(480, seen(480)), 0);
  assert.ok(isKeyboard(800, seen(480)));
});

test("the bar of a browser and zooming in are no keyboard", () => {
  assert.equal(coveredBy(800, seen(744)), 0);
  assert.ok(!isKeyboard(800, seen(744)));
  assert.equal(coveredBy(800, seen(400, { scale: 2 })), 0);
  assert.ok(!isKeyboard(800, seen(400, { scale: 2 })));
});
