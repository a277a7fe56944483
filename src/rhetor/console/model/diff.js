// Differences of two texts by lines, and patches as tools write them. A line is {sign, text}, and `sign` is
// "+", "-", " " or "@" (the head of a part).

const CONTEXT = 3; // unchanged lines around a change
const MOST_CELLS = 4_000_000; // of the table; beyond it, everything between the first and last change differs

export function compare(before, after) {
  const [old, now] = [linesOf(before), linesOf(after)];
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start += 1;
  let end = 0;
  while (end < old.length - start && end < now.length - start && old.at(-1 - end) === now.at(-1 - end)) end += 1;
  const changed = changes(old.slice(start, old.length - end), now.slice(start, now.length - end));
  const same = (lines) => lines.map((text) => ({ sign: " ", text }));
  return shortened([...same(old.slice(0, start)), ...changed, ...same(end ? old.slice(-end) : [])]);
}

// The lines of a patch in the unified format, without the names of its files.
export function parsePatch(patch) {
  const lines = [];
  let isHead = patch.includes("@@"); // the names come before the first part
  for (const line of linesOf(patch)) {
    if (line.startsWith("@@")) isHead = false;
    if (!isHead) lines.push(patchLine(line));
  }
  return lines.filter(Boolean);
}

// A line of a patch; null if it is no line of the file.
export function patchLine(line) {
  if (line.startsWith("@@")) return { sign: "@", text: line };
  if (line.startsWith("\\ No newline")) return null;
  return { sign: /^[+-]/.test(line) ? line[0] : " ", text: line.replace(/^[-+ ]/, "") };
}

export function countsOf(lines) {
  let [added, removed] = [0, 0];
  for (const { sign } of lines) {
    if (sign === "+") added += 1;
    else if (sign === "-") removed += 1;
  }
  return { added, removed };
}

export function linesOf(text) {
  if (!text) return [];
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

function changes(old, now) {
  if (old.length * now.length > MOST_CELLS) return [...old.map(removed), ...now.map(added)];
  const width = now.length + 1;
  const longest = new Uint32Array((old.length + 1) * width); // of the common lines from here on
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = now.length - 1; j >= 0; j -= 1) {
      const at = i * width + j;
      longest[at] = old[i] === now[j] ? longest[at + width + 1] + 1 : Math.max(longest[at + width], longest[at + 1]);
    }
  }
  return walk(old, now, longest, width);
}

function walk(old, now, longest, width) {
  const lines = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    const at = i * width + j;
    if (i < old.length && j < now.length && old[i] === now[j]) lines.push({ sign: " ", text: old[(j += 1, i++)] });
    else if (i < old.length && (j === now.length || longest[at + width] >= longest[at + 1])) lines.push(removed(old[i++]));
    else lines.push(added(now[j++]));
  }
  return lines;
}

// Leave out unchanged lines that are far from a change.
function shortened(lines) {
  const near = new Uint8Array(lines.length);
  lines.forEach(({ sign }, index) => sign !== " " && near.fill(1, Math.max(0, index - CONTEXT), index + CONTEXT + 1));
  const shown = [];
  lines.forEach((line, index) => {
    if (near[index]) shown.push(line);
    else if (near[index - 1] && shown.length) shown.push({ sign: "@", text: "…" });
  });
  if (shown.at(-1)?.sign === "@") shown.pop();
  return shown;
}

const removed = (text) => ({ sign: "-", text });
const added = (text) => ({ sign: "+", text });
