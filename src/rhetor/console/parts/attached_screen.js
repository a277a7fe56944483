// The screen of a program that runs in a terminal of the hub, and keys that a phone does not have.
import { html } from "htm/preact";
import { signal } from "@preact/signals";
import { Attachment } from "#client/attachment.js";
import { sequenceOf, withControl } from "#model/terminal_frames.js";
import { notify } from "#parts/notices.js";
import { copiedText, openScreen, paste } from "#parts/screen.js";

// The screen of a program in the page: output is drawn on it, and what the user types goes to the program.

const RING_MILLISECONDS = 400;
const MOST_TITLE = 200; // characters
const MOST_SIDE = 1000; // rows or columns that the hub takes
export const LEAVE = "Control+Shift+X";

export class AttachedScreen {
  title = signal(""); // chosen by the program, so only ever shown as text
  link = signal(null); // the address of the link under the pointer
  isRinging = signal(false);
  isControlHeld = signal(false);
  window = signal(null); // how many rows and columns there is room for

  // `onLeave()`: the user leaves the terminal with the keyboard.
  constructor(place, peer, mode, { onLeave, screenReaderMode, fontSize }) {
    this.onLeave = onLeave;
    const onLink = (url) => (this.link.value = url);
    const answers = () => this.attachment.answers;
    this.screen = openScreen(place, { answers, onLink, onFault: fault, screenReaderMode, fontSize });
    this.terminal = this.screen.terminal;
    this.attachment = new Attachment(peer, mode, {
      onStart: (size) => this.inOrder(() => (this.terminal.reset(), this.fitTo(size))),
      onOutput: (bytes, drawn) => this.terminal.write(bytes, drawn),
      onSize: (size) => this.inOrder(() => this.fitTo(size)),
    });
    this.listen();
    this.setMode(mode);
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(place);
  }

  listen() {
    this.terminal.onData((text) => this.type(text));
    this.terminal.onBinary((text) => this.attachment.type(Uint8Array.from(text, (one) => one.charCodeAt(0))));
    this.terminal.onBell(() => this.ring());
    this.terminal.onTitleChange((title) => (this.title.value = cleaned(title)));
    this.terminal.attachCustomKeyEventHandler((event) => this.passes(event));
  }

  // What the hub says takes effect when the output before it is drawn.
  inOrder(work) {
    this.terminal.write("", work);
  }

  fitTo({ rows, cols }) {
    this.terminal.resize(cols, rows);
  }

  setMode(mode) {
    this.terminal.options.disableStdin = mode !== "rw";
    if (mode !== this.attachment.mode) this.attachment.restart(mode);
  }

  setOptions(options) {
    Object.assign(this.terminal.options, options);
    this.measure();
  }

  type(text) {
    const held = this.isControlHeld.value && withControl(text);
    this.isControlHeld.value = false;
    this.attachment.type(held || text);
  }

  press(key) {
    this.terminal.input(sequenceOf(key, this.terminal.modes));
  }

  hold() {
    this.isControlHeld.value = !this.isControlHeld.value;
  }

  ring() {
    this.isRinging.value = true;
    clearTimeout(this.ringing);
    this.ringing = setTimeout(() => (this.isRinging.value = false), RING_MILLISECONDS);
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(copiedText(this.terminal));
    } catch {
      fault("The browser does not allow this page to copy.");
    }
  }

  async paste() {
    try {
      paste(this.terminal, await navigator.clipboard.readText(), fault);
    } catch {
      fault("The browser does not allow this page to read the clipboard. Paste with Control+Shift+V.");
    }
  }

  // Whether xterm handles a key. All keys are the program's but those that a terminal cannot send anyway.
  passes(event) {
    const own = ownKey(event);
    if (own) {
      if (event.type === "keydown") this.act(own, event);
      return false;
    }
    const scrolls = event.shiftKey && /^(Page|Home$|End$)/.test(event.key);
    return this.attachment.mode === "rw" || scrolls; // else Tab moves the focus, as everywhere
  }

  act(own, event) {
    if (own === "paste") return; // the browser pastes by itself
    event.preventDefault();
    if (own === "copy") this.copy();
    else this.onLeave();
  }

  measure() {
    const room = this.screen.fit.proposeDimensions();
    if (!room?.rows || !room.cols) return;
    const [rows, cols] = [Math.min(room.rows, MOST_SIDE), Math.min(room.cols, MOST_SIDE)];
    const known = this.window.value;
    if (known?.rows === rows && known.cols === cols) return;
    this.window.value = { rows, cols };
    clearTimeout(this.sizing);
    this.sizing = setTimeout(() => this.attachment.resize(rows, cols), known ? 100 : 0);
  }

  close() {
    clearTimeout(this.ringing);
    clearTimeout(this.sizing);
    this.observer.disconnect();
    this.attachment.close();
    this.screen.close();
  }
}

function ownKey({ code, ctrlKey, shiftKey, altKey }) {
  if (!ctrlKey || !shiftKey || altKey) return undefined;
  return { KeyC: "copy", KeyV: "paste", KeyX: "leave" }[code];
}

const fault = (text) => notify(text, { kind: "problem" });

const cleaned = (title) => title.replace(/[\p{Cc}\p{Cf}]/gu, "").slice(0, MOST_TITLE);

// Keys that the keyboard of a phone does not have. Control holds for the next key.

const KEYS = [
  ["Escape", "Esc", "Esc"],
  ["Tab", "Tab", "Tab"],
  ["ArrowLeft", "←", "Left"],
  ["ArrowUp", "↑", "Up"],
  ["ArrowDown", "↓", "Down"],
  ["ArrowRight", "→", "Right"],
  ["PageUp", "PgUp", "PgUp, page up"],
  ["PageDown", "PgDn", "PgDn, page down"],
];

// `isHeld`: whether Control holds. `onKey(name)` is called for a key, `onHold()` for Control.
export function KeyBar({ isHeld, isDisabled, onKey, onHold }) {
  const keep = (event) => event.preventDefault(); // the focus, so that the keyboard of the phone stays
  return html`
    <div class="key-bar" role="group" aria-label="Keys" onMouseDown=${keep} onPointerDown=${keep}>
      <button type="button" aria-label="Ctrl, for the next key" aria-pressed=${isHeld} disabled=${isDisabled} onClick=${onHold}>Ctrl</button>
      ${KEYS.map(
        ([key, text, name]) => html`
          <button key=${key} type="button" aria-label=${name} disabled=${isDisabled} onClick=${() => onKey(key)}>${text}</button>
        `,
      )}
    </div>
  `;
}
