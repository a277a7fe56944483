// What the hub says beside the bytes of a terminal, folded into what a view shows.
const MOST_NOTICES = 100;

// `shared`: {id, rows, cols, clients, notices, last}; `last` is the cursor of the last notice.
export function foldFrame(shared, frame) {
  switch (frame.type) {
    case "attached":
      return { ...shared, id: frame.id, rows: frame.rows, cols: frame.cols, clients: frame.clients };
    case "size":
      return { ...shared, rows: frame.rows, cols: frame.cols };
    case "clients":
      return { ...shared, clients: frame.clients };
    case "notice":
      return { ...shared, notices: [...shared.notices, frame].slice(-MOST_NOTICES), last: frame.cursor };
    default:
      return shared;
  }
}

// How a program ended, of a frame `exited` or `lost`.
export function describeEnd({ type, exit_code: code, signal, reason }) {
  if (type === "lost") return { text: sentence(reason), isOver: true };
  if (signal) return { text: `The program was ended by signal ${signal}.`, isOver: true };
  if (code === null || code === undefined) return { text: "The program has ended.", isOver: true };
  return { text: `The program has ended with exit code ${code}.`, isOver: true };
}

// A detail of the hub as a sentence of its own.
export const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;

// Text that may be pasted: a control character in it could end a bracketed paste, and so run the rest.
export function pasteable(text) {
  return text.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g, "");
}

// The sequence of a key of the key bar. Programs choose which one the arrows send.
export function sequenceOf(key, { applicationCursorKeysMode }) {
  const letter = { ArrowUp: "A", ArrowDown: "B", ArrowRight: "C", ArrowLeft: "D" }[key];
  if (letter) return `\x1b${applicationCursorKeysMode ? "O" : "["}${letter}`;
  return { Escape: "\x1b", Tab: "\t", PageUp: "\x1b[5~", PageDown: "\x1b[6~" }[key];
}

// A typed character with Control; null if Control does not change it.
export function withControl(text) {
  if (!/^[a-z@[\\\]^_ ?]$/i.test(text)) return null;
  return text === "?" ? "\x7f" : String.fromCharCode(text.toUpperCase().charCodeAt(0) & 31);
}

// The links in the text of a line: [{start, text}], in UTF-16 units.
export function linksIn(text) {
  return [...text.matchAll(/\bhttps?:\/\/[^\s"'<>`|\\^{}\x00-\x1f]+/gi)]
    .map((found) => ({ start: found.index, text: withoutEnd(found[0]) }))
    .filter((link) => URL.canParse(link.text));
}

// A bracket or a sign after a link belongs to the sentence, unless the bracket opens in the link.
function withoutEnd(link) {
  let text = link.replace(/[.,;:!?]+$/, "");
  while (/[)\]]$/.test(text)) {
    const [open, close] = text.endsWith(")") ? ["(", ")"] : ["[", "]"];
    if (text.split(open).length >= text.split(close).length) break;
    text = text.slice(0, -1).replace(/[.,;:!?]+$/, "");
  }
  return text;
}

// The address of a link, if it may be opened; null for all but the web.
export function webAddress(text) {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url && /^https?:$/.test(url.protocol) ? url.href : null;
}
