// A connection to the terminal of a program (`/ws/attach/{peer}`). It attaches again by itself, and so is shown
// the current screen. Output that arrives faster than it is drawn is dropped, and the screen shown anew.
import { effect, signal } from "@preact/signals";
import { get, isLoggedOut } from "#client/api.js";
import { state as connection } from "#client/connection.js";
import { describeEnd, foldFrame } from "#model/terminal_frames.js";

const FIRST_PAUSE = 250; // milliseconds until the first new attempt; doubled for each one that follows
const LONGEST_PAUSE = 5000;
const MOST_UNDRAWN = 4 << 20; // bytes that wait to be drawn
const MOST_UNTYPED = 4096; // bytes of keys that wait for the connection; later ones are dropped
const LOGIN_ENDED = new Set([4001, 4500]);
const encoder = new TextEncoder();

// `onStart(size)`: the screen follows, on a fresh terminal of this size. `onOutput(bytes, drawn)`: call `drawn`
// when the bytes are on the screen. `onSize(size)`: the program's terminal has another size from here on.
export class Attachment {
  // "connecting", "attached", "lost" (it attaches again), "behind" (it waits until all is drawn), "ended"
  phase = signal("connecting");
  shared = signal({ id: null, rows: 0, cols: 0, clients: [], notices: [], skipped: 0 });
  end = signal(null); // why it has ended: {text, hint, isOver}; `isOver`: the program may be started again

  constructor(peer, mode, { onStart, onOutput, onSize }) {
    Object.assign(this, { peer, mode, onStart, onOutput, onSize });
    this.attempts = 0;
    this.undrawn = 0;
    this.untyped = []; // bytes
    this.window = null; // the size of the window, once it is known
    this.stop = effect(() => connection.value === "open" && this.phase.peek() === "lost" && this.hurry());
    this.connect();
  }

  // Attach in another mode, or again after the program has ended.
  restart(mode = this.mode) {
    this.mode = mode;
    this.drop();
    this.attempts = 0;
    this.end.value = null;
    this.connect();
  }

  // Send keys. Those that are typed while the connection is lost are sent when it is there again.
  type(keys) {
    const bytes = typeof keys === "string" ? encoder.encode(keys) : keys;
    if (this.mode !== "rw" || this.phase.value === "ended") return;
    if (this.phase.value === "attached") this.socket.send(bytes);
    else if (this.untyped.length + bytes.length <= MOST_UNTYPED) this.untyped.push(...bytes);
  }

  // The size of the window. It counts only for those that type, so that watching changes nothing.
  resize(rows, cols) {
    this.window = { rows, cols };
    if (this.phase.value === "attached") this.sendSize();
  }

  // Whether the program's queries are answered here. Of several windows that type, only the first one does.
  get answers() {
    const { id, clients } = this.shared.value;
    return this.mode === "rw" && clients.find((client) => client.mode === "rw")?.id === id;
  }

  close() {
    this.stop();
    this.drop();
  }

  async connect() {
    const attempt = {};
    Object.assign(this, { attempt, socket: null });
    this.phase.value = this.attempts ? "lost" : "connecting";
    const refusal = await whyRefused(this.peer); // a browser does not say why it was rejected
    if (this.attempt !== attempt) return;
    if (refusal?.isPassing) this.retryLater();
    else if (refusal) this.finish(refusal);
    else this.open();
  }

  open() {
    const { last } = this.shared.value;
    const query = new URLSearchParams({ mode: this.mode, ...(last && { after: last }) });
    const place = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;
    const socket = new WebSocket(`${place}/ws/attach/${encodeURIComponent(this.peer)}?${query}`);
    this.socket = Object.assign(socket, { binaryType: "arraybuffer" });
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.hear(JSON.parse(data)) : this.show(data));
    socket.onclose = ({ code }) => this.closed(code);
  }

  hear(frame) {
    this.shared.value = foldFrame(this.shared.value, frame);
    if (frame.type === "attached") this.attached(frame);
    else if (frame.type === "size") this.onSize(frame);
    else if (frame.type === "exited" || frame.type === "lost") this.end.value = describeEnd(frame);
  }

  attached(frame) {
    this.attempts = 0;
    this.phase.value = "attached";
    this.onStart(frame);
    if (this.window) this.sendSize();
    if (this.untyped.length) this.type(Uint8Array.from(this.untyped.splice(0)));
  }

  show(buffer) {
    this.undrawn += buffer.byteLength;
    this.onOutput(new Uint8Array(buffer), () => this.drawn(buffer.byteLength));
    if (this.undrawn > MOST_UNDRAWN) this.fallBehind();
  }

  drawn(bytes) {
    this.undrawn -= bytes;
    if (this.undrawn === 0 && this.phase.value === "behind") this.connect();
  }

  fallBehind() {
    this.drop();
    this.phase.value = "behind";
    this.shared.value = { ...this.shared.value, skipped: this.shared.value.skipped + 1 };
  }

  sendSize() {
    if (this.mode === "rw") this.socket.send(JSON.stringify({ type: "size", ...this.window }));
  }

  closed(code) {
    this.socket = null;
    if (LOGIN_ENDED.has(code)) isLoggedOut.value = true;
    if (this.end.value) this.finish(this.end.value);
    else this.retryLater();
  }

  finish(end) {
    this.untyped = [];
    this.end.value = end;
    this.phase.value = "ended";
  }

  retryLater() {
    this.phase.value = "lost";
    this.retry = setTimeout(() => this.hurry(), this.pause());
  }

  pause() {
    const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.attempts);
    this.attempts += 1;
    return longest * (0.5 + Math.random() / 2);
  }

  hurry() {
    if (!this.retry) return;
    clearTimeout(this.retry);
    this.retry = null;
    this.connect();
  }

  drop() {
    this.attempt = null;
    clearTimeout(this.retry);
    this.retry = null;
    if (!this.socket) return;
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }
}

// Why a terminal cannot be attached: {text, hint, isOver}, `isPassing` if that may soon change; null if it can.
async function whyRefused(peer) {
  try {
    const { status, evidence, pid, screen } = await get(`/api/v2/ai/${encodeURIComponent(peer)}/status`);
    if (pid === null) return { text: `${peer} is not running: ${evidence || status}.`, isOver: true };
    return screen === null ? { text: `${peer} does not run in a terminal.`, hint: "Send it messages instead." } : null;
  } catch ({ message, hint, retryable, status }) {
    return { text: message, hint, isPassing: retryable || status === 401 || status === 429 };
  }
}
