// Differences of two texts by lines, patches as tools write them, and the changes that tool calls make.

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
function patchLine(line) {
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

function linesOf(text) {
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

// The changes of files that a tool call makes, as far as its arguments or its result say them: [{path, change,
// lines}]. Known are the tools of Claude Code, Codex, ACP agents, opencode and Gemini.

const PATHS = ["file_path", "filePath", "path", "notebook_path", "filename"];
const BEFORE = ["old_string", "oldString", "oldText", "old_str"];
const AFTER = ["new_string", "newString", "newText", "new_str", "new_source"];
const WRITING = /write|create/i;

export function editsOf(name, given, result) {
  const found = [...inArguments(name ?? "", given), ...blocks(given?.content), ...blocks(Array.isArray(result) ? result : result?.content)];
  const seen = new Set();
  return found.filter(({ path, lines }) => {
    const key = `${path}\n${lines.map(({ sign, text }) => sign + text).join("\n")}`;
    return lines.length > 0 && !seen.has(key) && seen.add(key);
  });
}

function inArguments(name, given) {
  if (typeof given === "string") return given.includes("*** Begin Patch") ? codexPatch(given) : [];
  if (given === null || typeof given !== "object") return [];
  if (Array.isArray(given.changes)) return given.changes.map(codexChange).filter(Boolean);
  const patch = [given.input, given.patch, given.patchText, ...[given.command].flat()].find((one) => typeof one === "string" && one.includes("*** Begin Patch"));
  if (patch) return codexPatch(patch);
  return byKeys(name, given);
}

function byKeys(name, given) {
  const path = one(given, PATHS);
  if (path === undefined) return [];
  if (Array.isArray(given.edits)) return given.edits.map((edit) => edited(path, one(edit, BEFORE), one(edit, AFTER))).filter(Boolean);
  const edit = edited(path, one(given, BEFORE), one(given, AFTER));
  if (edit) return [edit];
  if (typeof given.content === "string" && WRITING.test(name)) return [written(path, given.content)];
  return [];
}

// Blocks of ACP with the type `diff`.
function blocks(content) {
  if (!Array.isArray(content)) return [];
  const diffs = content.filter((block) => block?.type === "diff" && typeof block.path === "string" && typeof block.newText === "string");
  return diffs.map((block) => (block.oldText == null ? written(block.path, block.newText) : edited(block.path, block.oldText, block.newText))).filter(Boolean);
}

function edited(path, before, after) {
  if (typeof before !== "string" && typeof after !== "string") return null;
  const [old, now] = [before, after].map((text) => (typeof text === "string" ? text : ""));
  return { path, change: "changed", lines: compare(old, now) };
}

function written(path, content) {
  return { path, change: "written", lines: linesOf(content).map((text) => ({ sign: "+", text })) };
}

// A change of Codex's `fileChange`: {path, kind: {type, move_path}, diff}. The diff of a new file is its content.
function codexChange(change) {
  if (typeof change?.diff !== "string" || typeof change.path !== "string") return null;
  const kind = change.kind?.type ?? change.kind;
  const path = typeof change.kind?.move_path === "string" ? `${change.path} → ${change.kind.move_path}` : change.path;
  const isWhole = !/^@@/m.test(change.diff);
  if (kind === "add" && isWhole) return { path, change: "added", lines: linesOf(change.diff).map((text) => ({ sign: "+", text })) };
  if (kind === "delete" && isWhole) return { path, change: "removed", lines: linesOf(change.diff).map((text) => ({ sign: "-", text })) };
  return { path, change: kind === "add" ? "added" : kind === "delete" ? "removed" : "changed", lines: parsePatch(change.diff) };
}

// `*** Begin Patch`, as `apply_patch` takes it.
function codexPatch(patch) {
  const edits = [];
  for (const line of linesOf(patch)) {
    const file = /^\*\*\* (Add|Update|Delete) File: (.*)$/.exec(line);
    if (file) edits.push({ path: file[2], change: { Add: "added", Update: "changed", Delete: "removed" }[file[1]], lines: [] });
    else if (edits.length && line.startsWith("*** Move to: ")) edits.at(-1).path += ` → ${line.slice(13)}`;
    else if (edits.length && !line.startsWith("***")) edits.at(-1).lines.push(patchLine(line) ?? { sign: "@", text: line });
  }
  for (const edit of edits) if (edit.change === "removed" && !edit.lines.length) edit.lines.push({ sign: "@", text: "the whole file" });
  return edits;
}

function one(given, names) {
  for (const name of names) if (typeof given?.[name] === "string") return given[name];
  return undefined;
}
