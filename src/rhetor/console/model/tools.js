// What tool calls are about, what their results say, and what a request for permission asks.

// What a tool call is about, in one line, and what its result says, in whatever form agents give it.

const MAIN = ["command", "cmd", "file_path", "filePath", "path", "notebook_path", "pattern", "query", "url", "title", "description", "prompt"];
const SHELL = /^(?:\/\S*\/)?(?:ba|z|da)?sh -l?c (?:'([^]*)'|"([^]*)"|([^]*))$/;

// The most telling argument; empty if there is none.
export function summaryOf(argumentsOf) {
  if (argumentsOf == null) return "";
  if (typeof argumentsOf === "string") return firstLine(argumentsOf);
  if (typeof argumentsOf !== "object") return String(argumentsOf);
  const command = commandOf(argumentsOf);
  if (command) return firstLine(command);
  for (const name of MAIN) if (typeof argumentsOf[name] === "string" && argumentsOf[name]) return firstLine(argumentsOf[name]);
  if (Array.isArray(argumentsOf.changes)) return argumentsOf.changes.map((one) => one?.path).filter((path) => path && typeof path === "string").join(", ");
  const text = Object.values(argumentsOf).find((value) => typeof value === "string" && value);
  return text ? firstLine(text) : "";
}

// The shell command of a call, without the shell that runs it; empty if it is no command.
export function commandOf(argumentsOf) {
  const given = argumentsOf?.command ?? argumentsOf?.cmd;
  if (Array.isArray(given)) return unwrapped(given);
  if (typeof given !== "string") return "";
  const found = SHELL.exec(given);
  return found ? (found[1] ?? found[2] ?? found[3]) : given;
}

// A value of JSON as text. `String` would fail for an object with a member `toString`.
const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function unwrapped(words) {
  const isShell = words.length === 3 && /sh$/.test(words[0]) && /^-l?c$/.test(words[1]);
  return isShell ? asText(words[2]) : words.map(asText).join(" ");
}

// The text of a result, or null if it has another form.
export function textOf(result) {
  if (result == null) return "";
  if (typeof result === "string") return result;
  if (Array.isArray(result)) return joined(result);
  if (typeof result !== "object") return String(result);
  if (typeof result.aggregatedOutput === "string") return result.aggregatedOutput;
  if (typeof result.formatted_output === "string") return result.formatted_output;
  if (typeof result.text === "string") return result.text;
  if (typeof result.output === "string") return result.output;
  if (Array.isArray(result.content)) return joined(result.content);
  if (typeof result.content === "string") return result.content;
  return null;
}

// The exit code of a command; null if it is not known.
export function exitCodeOf(result) {
  const code = result?.exitCode ?? result?.exit_code;
  return Number.isInteger(code) ? code : null;
}

// The images of a result, as MCP has them: [{mimeType, data}].
export function imagesOf(result) {
  const content = Array.isArray(result) ? result : (result?.content ?? result?.contentItems ?? []);
  if (!Array.isArray(content)) return [];
  return content
    .map((one) => one?.content ?? one)
    .filter((one) => one?.type === "image")
    .map((one) => ({ mimeType: one.mimeType ?? one.source?.media_type, data: one.data ?? one.source?.data }))
    .filter(({ mimeType, data }) => /^image\/(png|jpeg|gif|webp)$/.test(mimeType) && /^[\w+/=]+$/.test(data));
}

function joined(content) {
  const texts = content.map((one) => one?.content?.text ?? one?.text);
  return texts.length && texts.every((text) => typeof text === "string") ? texts.join("\n") : null;
}

export function firstLine(text, most = 300) {
  const line = text.trimStart().split("\n", 1)[0];
  return line.length > most ? `${line.slice(0, most)}…` : line;
}

// What a permission request is about, for a person to decide: the changes of files, then the other arguments
// of the tool, then what the agent says beside them. Agents write these things in their own ways; `aish`
// reads them by the same rules.

const PATHS = ["file_path", "filePath", "filepath", "path", "absolute_path", "notebook_path", "fileName"];
const OLD = ["old_string", "oldString", "oldText"];
const NEW = ["new_string", "newString", "newText"];
const WHOLE = ["content", "contents", "file_text"];
const DIFFS = ["diff", "unified_diff", "patch"];
const COMMANDS = ["command", "cmd"]; // arguments that need no name if they are the only one
const WRAPPERS = ["params", "toolCall"]; // where agents keep the request
const ARGUMENTS = ["input", "rawInput", "arguments"]; // where drivers keep a tool's arguments
const SAID = ["blocked_path", "decision_reason", "reason", "justification", "description"];
// what is said about the tool's use, in words
export const REMARKS = new Set(["reason", "description", "title", "explanation", "decision_reason", "justification"]);
const PAUSES = new Set(["quota", "budget"]);
const CHANGES = new Set(["changes", "content", "edits"]); // what the diffs show
const CALL = "toolCallId";
const CALL_MEMBERS = new Set([CALL, "title", "content", "status", "kind", "sessionUpdate", "_meta"]);
const THREAD = "threadId"; // Codex puts what it asks beside members of its protocol
const PROTOCOL = new Set(
  "method kind threadId turnId itemId callId approvalId startedAtMs environmentId commandActions availableDecisions proposedExecpolicyAmendment".split(" "),
);
// what cannot be seen, or looks like something else; a newline and a tab can
const HIDDEN = /[^\P{C}\n\t]|[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2028\u2029\u2800\u3164\ufe00-\ufe0f\uffa0]|[^\P{Zs} ]/gu;

// {pause, changes: [{path, before, after, diff}], lines: [{name, text}]}. `pause` is {reason, resetsAt, then,
// budget} if the hub itself asks because the turn is paused. A change has `before` (null for a new or unknown
// file) and `after`, or the agent's own `diff`.
export function describe(detail, tool = "") {
  if (isPause(detail, tool)) {
    const { reason, resets_at: resetsAt, then, budget = null } = detail;
    return { pause: { reason: asText(reason), resetsAt, then, budget }, changes: [], lines: [] };
  }
  const changes = changesOf(given(detail), requestIn(detail));
  const args = argumentsOf(detail);
  const values = new Set(args.map(([, value]) => value));
  const said = besideArguments(detail).filter(([, value]) => !values.has(value));
  const lines = [...args, ...said]
    .filter(([name, value]) => !(changes.length && CHANGES.has(name)) && !changes.some((one) => shows(one, value)))
    .map(([name, value]) => ({ name, text: typeof value === "string" ? value : JSON.stringify(value, null, 2) }));
  return { pause: null, changes, lines };
}

// The text with marks such as `\u{200b}` for the characters that cannot be seen.
export function revealed(text) {
  return text.replace(HIDDEN, (char) => `\\u{${char.codePointAt(0).toString(16)}}`);
}

// Only the hub's own tools: the arguments of another one could have the same names.
function isPause(detail, tool) {
  const names = ["paused", "reason", "resets_at", "then"];
  return PAUSES.has(tool) && isObject(detail) && names.every((name) => name in detail);
}

function changesOf(args, request) {
  const found = isObject(args) ? fromArguments(args) : [];
  if (found.length || !isObject(request)) return found;
  return [...fromContent(request.content), ...fromChanges(request.changes)];
}

function fromArguments(args) {
  const path = first(args, PATHS) ?? "";
  const found = [];
  for (const edit of [args, ...listed(args.edits)]) {
    const after = isObject(edit) ? first(edit, NEW) : undefined;
    if (path && after !== undefined) found.push({ path, before: first(edit, OLD) ?? null, after, diff: null });
  }
  const diff = first(args, DIFFS);
  const whole = first(args, WHOLE);
  if (diff !== undefined) found.push({ path, before: null, after: "", diff });
  else if (path && whole !== undefined) found.push({ path, before: null, after: whole, diff: null });
  return found;
}

// Of an ACP agent: `{type: "diff", path, oldText, newText}`.
function fromContent(content) {
  return listed(content)
    .filter((block) => block?.type === "diff" && typeof block.newText === "string")
    .map((block) => ({ path: asText(block.path ?? ""), before: first(block, OLD) ?? null, after: block.newText, diff: null }));
}

// Of Codex: a list of `{path, kind, diff}`, or such objects by path.
function fromChanges(changes) {
  const all = isObject(changes) ? Object.entries(changes).map(([path, one]) => ({ path, ...one })) : listed(changes);
  return all.filter(isObject).flatMap((one) => {
    const [diff, whole] = [first(one, DIFFS), first(one, WHOLE)];
    if (diff === undefined && whole === undefined) return [];
    return [{ path: asText(one.path ?? ""), before: null, after: whole ?? "", diff: diff ?? null }];
  });
}

function shows({ path, before, after, diff }, value) {
  return typeof value === "string" && value.trim() !== "" && [path, before, after, diff].includes(value);
}

// The names and values of the arguments. A command that is the only one has no name.
function argumentsOf(detail) {
  let args = given(detail);
  if (!isObject(args)) return args == null || args === "" ? [] : [["", args]];
  const names = Object.keys(args);
  if (names.length === 1 && COMMANDS.includes(names[0])) return [["", args[names[0]]]];
  if (CALL in args && args === requestIn(detail)) return describedCall(args);
  if (THREAD in args && args === detail) args = without(args, PROTOCOL);
  const entries = Object.entries(args);
  return [...entries.filter(([name]) => !REMARKS.has(name)), ...entries.filter(([name]) => REMARKS.has(name))];
}

// What an ACP agent says of a call whose arguments it does not send: its title, usually the command, and the rest.
function describedCall(call) {
  const found = call.title ? [["", call.title]] : [];
  for (const block of listed(call.content)) {
    if (block?.content?.type === "text") found.push(["", block.content.text]);
    else if (block?.type !== "diff") found.push(["content", block]);
  }
  const isEmpty = (value) => value == null || value === "" || (typeof value === "object" && Object.keys(value).length === 0);
  for (const [name, value] of Object.entries(call)) if (!CALL_MEMBERS.has(name) && !isEmpty(value)) found.push([name, value]);
  return found;
}

// The arguments, or the whole request. Nothing is looked for within the arguments: the model chose their names.
function given(detail) {
  const request = requestIn(detail);
  const name = isObject(request) ? ARGUMENTS.find((one) => one in request) : undefined;
  return name === undefined ? request : request[name];
}

function requestIn(detail) {
  let found = detail;
  for (const name of WRAPPERS) if (isObject(found) && isObject(found[name])) found = found[name];
  return found;
}

function besideArguments(detail) {
  const request = requestIn(detail);
  if (!isObject(request) || given(detail) === request) return [];
  const names = request.kind === "other" && CALL in request ? ["title", ...SAID] : SAID;
  return names.filter((name) => typeof request[name] === "string" && request[name]).map((name) => [name, request[name]]);
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const listed = (value) => (Array.isArray(value) ? value : []);
const without = (object, names) => Object.fromEntries(Object.entries(object).filter(([name]) => !names.has(name)));

function first(object, names) {
  const name = names.find((one) => typeof object[one] === "string");
  return name === undefined ? undefined : object[name];
}
