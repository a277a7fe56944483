// The colors of plotted series, as people see them who see red, green or blue less, too.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

// at full severity: Machado, Oliveira and Fernandes 2009, for linear RGB
const SIGHTS = {
  usual: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
};
const LEAST_DIFFERENCE = 18; // CIE76; about 2 is the least that is noticed
const folder = new URL("../../../src/rhetor/console/styles/", import.meta.url);
const read = (name) => readFileSync(new URL(name, folder), "utf8");

const linear = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
const seen = (matrix, rgb) => matrix.map((line) => Math.min(1, Math.max(0, line.reduce((sum, part, at) => sum + part * rgb[at], 0))));
const luminance = ([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b;

function lab([r, g, b]) {
  const f = (t) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
  const [x, y, z] = [(0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505, luminance([r, g, b]), (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089].map(f);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

function contrast(one, other) {
  const [low, high] = [luminance(linear(one)), luminance(linear(other))].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

// The colors of the series and of the surface, in blocks that are for light or for dark.
function palettes() {
  const blocks = [...read("costs.css").matchAll(/\{([^{}]*--series-1:[^}]*)\}/g)].map((found) => found[1]);
  const surfaces = [...read("base.css").matchAll(/--surface: (#[0-9a-f]{3,6})/g)].map((found) => found[1]);
  const full = (hex) => (hex.length === 4 ? `#${[...hex.slice(1)].map((c) => c + c).join("")}` : hex);
  assert.equal(blocks.length, 3); // light, dark by the system, dark by choice
  assert.equal(surfaces.length, 3);
  return blocks.map((block, at) => ({
    surface: full(surfaces[at]),
    series: [...block.matchAll(/--series-\d: (#[0-9a-f]{6})/g)].map((found) => found[1]),
    rest: /--series-rest: (#[0-9a-f]{6})/.exec(block)[1],
  }));
}

test("each color of a series stands out from the surface", () => {
  for (const { surface, series, rest } of palettes()) {
    assert.equal(series.length, 6);
    for (const color of [...series, rest]) assert.ok(contrast(color, surface) >= 3, `${color} on ${surface}`);
  }
});

test("the colors of series differ for everybody", () => {
  for (const { series } of palettes()) {
    for (const [sight, matrix] of Object.entries(SIGHTS)) {
      for (const [at, one] of series.entries()) {
        for (const other of series.slice(at + 1)) {
          const [a, b] = [one, other].map((color) => lab(seen(matrix, linear(color))));
          assert.ok(Math.hypot(...a.map((part, index) => part - b[index])) >= LEAST_DIFFERENCE, `${one} and ${other}, ${sight}`);
        }
      }
    }
  }
});
