// A screen of xterm.js, set up for programs that are not trusted: their titles are text, their links need a
// modifier and lead to the web only, and they can neither read nor write the clipboard.
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import { linksIn, pasteable, webAddress } from "#model/terminal_frames.js";

const SCROLLBACK = 10_000; // lines
const MOST_PASTED = 1 << 20; // characters
const COLORS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

// Open a screen in `place`. `answers()`: whether this screen answers the queries of the program. `onLink(url)`:
// the pointer is over a link, or leaves it (null). `onFault(text)`: why nothing was pasted.
export function openScreen(place, { answers, onLink, onFault, screenReaderMode, fontSize }) {
  const terminal = new Terminal({
    allowProposedApi: false,
    fontFamily: variable("--code"),
    fontSize,
    linkHandler: linkHandler(onLink),
    minimumContrastRatio: 4.5,
    screenReaderMode,
    scrollback: SCROLLBACK,
    theme: theme(),
    windowOptions: {},
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(place);
  terminal.registerLinkProvider(linkProvider(terminal, onLink));
  silence(terminal, answers);
  const paste = (event) => pasteInto(terminal, event, onFault);
  place.addEventListener("paste", paste, true); // before xterm, which would keep control characters
  const stopTheme = followTheme(() => (terminal.options.theme = theme()));
  const close = () => {
    stopTheme();
    place.removeEventListener("paste", paste, true);
    terminal.dispose();
  };
  return { terminal, fit, close };
}

export function paste(terminal, text, onFault) {
  if (text.length > MOST_PASTED) onFault(`The text has ${text.length} characters. At most ${MOST_PASTED} can be pasted.`);
  else terminal.paste(pasteable(text));
}

// The selected text; without a selection, the text on the screen.
export function copiedText(terminal) {
  if (terminal.hasSelection()) return terminal.getSelection();
  const buffer = terminal.buffer.active;
  const lines = Array.from({ length: terminal.rows }, (_, row) => textOf(buffer, buffer.viewportY + row));
  return lines.join("\n").trimEnd();
}

const textOf = (buffer, row) => buffer.getLine(row)?.translateToString(true) ?? "";

function pasteInto(terminal, event, onFault) {
  event.preventDefault();
  event.stopImmediatePropagation();
  paste(terminal, event.clipboardData.getData("text/plain"), onFault);
}

// Each window that types would answer a query of the program, and each answer would be typed.
function silence(terminal, answers) {
  const isSilent = () => !answers();
  const asks = (data) => isSilent() && data.split(";").includes("?");
  for (const id of [{ final: "c" }, { prefix: ">", final: "c" }, { prefix: "=", final: "c" }, { final: "n" }, { prefix: "?", final: "n" },
    { intermediates: "$", final: "p" }, { prefix: "?", intermediates: "$", final: "p" }, { prefix: ">", final: "q" }, { prefix: "?", final: "u" }]) {
    terminal.parser.registerCsiHandler(id, isSilent);
  }
  terminal.parser.registerDcsHandler({ intermediates: "$", final: "q" }, isSilent);
  for (const number of [4, 10, 11, 12]) terminal.parser.registerOscHandler(number, asks);
  terminal.parser.registerOscHandler(52, () => true); // the clipboard belongs to the user
}

function linkHandler(onLink) {
  return {
    activate: (event, text) => open(event, text),
    hover: (event, text) => onLink(webAddress(text)),
    leave: () => onLink(null),
    allowNonHttpProtocols: false,
  };
}

// Finds addresses in the text of the screen, also where they continue on the next row.
function linkProvider(terminal, onLink) {
  return {
    provideLinks(row, answer) {
      const buffer = terminal.buffer.active;
      const first = firstRowOf(buffer, row - 1);
      const { text, places } = unwrapped(buffer, first, terminal.cols);
      const links = linksIn(text).map(({ start, text: url }) => ({
        text: url,
        range: { start: places[start], end: places[start + url.length - 1] },
        activate: (event) => open(event, url),
        hover: () => onLink(webAddress(url)),
        leave: () => onLink(null),
      }));
      answer(links.filter(({ range }) => range.start.y <= row && row <= range.end.y));
    },
  };
}

function firstRowOf(buffer, row) {
  let first = row;
  while (first > 0 && buffer.getLine(first)?.isWrapped) first -= 1;
  return first;
}

// The text of a line with all its rows, and the cell of each UTF-16 unit of it, both counted from 1.
function unwrapped(buffer, first, cols) {
  let text = "";
  const places = [];
  for (let row = first; row === first || buffer.getLine(row)?.isWrapped; row += 1) {
    const line = buffer.getLine(row);
    for (let column = 0; line && column < cols; column += 1) {
      const cell = line.getCell(column);
      if (!cell || cell.getWidth() === 0) continue;
      const chars = cell.getChars() || " ";
      for (let unit = 0; unit < chars.length; unit += 1) places.push({ x: column + 1, y: row + 1 });
      text += chars;
    }
  }
  return { text, places };
}

function open(event, text) {
  const url = webAddress(text);
  if (url && (event.ctrlKey || event.metaKey)) window.open(url, "_blank", "noopener,noreferrer");
}

function theme() {
  const colors = { background: variable("--screen"), foreground: variable("--screen-text"), cursor: variable("--accent") };
  colors.cursorAccent = colors.background;
  colors.selectionBackground = variable("--screen-selection");
  for (const name of COLORS) {
    colors[name] = variable(`--ansi-${name}`);
    colors[`bright${name[0].toUpperCase()}${name.slice(1)}`] = variable(`--ansi-bright-${name}`);
  }
  return colors;
}

const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Call `changed` when the page becomes dark or light.
function followTheme(changed) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = new MutationObserver(changed);
  dark.addEventListener("change", changed);
  chosen.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  return () => {
    dark.removeEventListener("change", changed);
    chosen.disconnect();
  };
}
