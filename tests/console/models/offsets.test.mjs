import assert from "node:assert/strict";
import { test } from "node:test";
import { Offsets } from "../../../src/rhetor/console/model/offsets.js";

const rows = (count) => Array.from({ length: count }, (_, index) => ({ index }));

test("rows that are not measured have their estimated height", () => {
  const offsets = new Offsets(() => 10);
  offsets.take(rows(5000), 0);
  assert.equal(offsets.total, 50_000);
  assert.equal(offsets.at(25), 2);
  assert.equal(offsets.at(-5), 0);
  assert.equal(offsets.at(1e9), 4999);
});

test("a measured height moves the rows behind it", () => {
  const offsets = new Offsets(() => 10);
  const list = rows(10);
  offsets.take(list, 0);
  assert.equal(offsets.total, 100);
  assert.ok(offsets.measured(3, 50));
  assert.ok(!offsets.measured(3, 50));
  assert.deepEqual([offsets.top(3), offsets.top(4), offsets.total], [30, 80, 140]);
});

test("rows in front, in the middle and at the end are taken", () => {
  const offsets = new Offsets((row) => row.height ?? 10);
  let list = rows(3);
  offsets.take(list, 0);
  assert.equal(offsets.total, 30);
  list.push({});
  offsets.take(list, 3);
  assert.equal(offsets.total, 40);
  list.splice(1, 0, { height: 5 });
  offsets.take(list, 1);
  assert.deepEqual([offsets.top(2), offsets.total], [15, 45]);
  list = [{ height: 100 }, ...list];
  offsets.take(list, 0);
  assert.deepEqual([offsets.top(1), offsets.total], [100, 145]);
  offsets.take([], 0);
  assert.equal(offsets.total, 0);
  assert.equal(offsets.at(10), 0);
});
