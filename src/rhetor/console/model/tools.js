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
export const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value));

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
