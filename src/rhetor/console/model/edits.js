// The changes of files that a tool call makes, as far as its arguments or its result say them: [{path, change,
// lines}]. Known are the tools of Claude Code, Codex, ACP agents, opencode and Gemini.
import { compare, linesOf, parsePatch, patchLine } from "#model/diff.js";

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
