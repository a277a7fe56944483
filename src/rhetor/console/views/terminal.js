// The terminal of a program: what it shows, who watches, and the keys that go to it.
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useKeys } from "#app/keys.js";
import { navigate } from "#app/router.js";
import { get } from "#client/api.js";
import { peerOf } from "#model/hub.js";
import { AttachedScreen, KeyBar, LEAVE } from "#parts/attached_screen.js";
import { Status } from "#parts/loaded.js";
import { canStart, StartButton } from "#parts/programs.js";
import { timeText } from "#parts/text.js";

const SIZES = [9, 10, 11, 12, 13, 14, 16, 18, 20, 24]; // pixels

export default function TerminalView({ params, query }) {
  const [scopes, setScopes] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => void get("/api/v2/whoami").then((found) => setScopes(found.scopes), setProblem), []);
  if (problem) return html`<h1 dir="auto">${params.id}</h1><p class="problem" role="alert">${problem.message}</p>`;
  if (!scopes) return html`<p class="loading" role="status">Loading…</p>`;
  const mayType = scopes.includes("approve") && scopes.includes("send");
  return html`<${Shown} peer=${params.id} mayType=${mayType} mode=${mayType && query.get("mode") !== "r" ? "rw" : "r"} />`;
}

function Shown({ peer, mayType, mode }) {
  const place = useRef(null);
  const tools = useRef(null);
  const [options, setOptions] = useOptions();
  const [attached, setAttached] = useState(null);
  const onLeave = () => tools.current?.querySelector("input:enabled, button")?.focus();
  useEffect(() => {
    const opened = new AttachedScreen(place.current, peer, mode, { onLeave, ...options });
    setAttached(opened);
    opened.terminal.focus();
    return () => opened.close();
  }, [peer]);
  useEffect(() => attached?.setMode(mode), [attached, mode]);
  useEffect(() => attached?.setOptions(options), [attached, options]);
  useEffect(() => keepAboveKeyboard(tools.current.parentElement), []);
  useKeys({
    "Control+X": { name: `Leave the terminal (${LEAVE})`, run: onLeave },
    "Control+C": { name: "Copy the selected text, or the screen (Control+Shift+C)", run: () => attached?.copy() },
    "Control+V": { name: "Paste (Control+Shift+V)", run: () => attached?.paste() },
  }, [attached]);
  return html`
    <div class="terminal-view">
      <${Head} peer=${peer} title=${attached?.title.value} />
      <div class="terminal-tools" ref=${tools} role="group" aria-label="Terminal">
        <${Tools} ...${{ peer, mayType, mode, attached, options, setOptions }} />
      </div>
      <${Banner} peer=${peer} attached=${attached} />
      <div class="terminal-middle">
        <div class=${classesOf(attached)} ref=${place}></div>
        <${Forwarded} notices=${attached?.attachment.shared.value.notices ?? []} />
      </div>
      ${attached && mode === "rw" && html`<${Keys} attached=${attached} />`}
      <${Foot} attached=${attached} mode=${mode} />
    </div>
  `;
}

// The keyboard of a phone covers a part of the page.
function keepAboveKeyboard(view) {
  const fit = () => view.style.setProperty("--room", `${visualViewport.height}px`);
  visualViewport.addEventListener("resize", fit);
  return () => visualViewport.removeEventListener("resize", fit);
}

function classesOf(attached) {
  const isAway = attached && attached.attachment.phase.value !== "attached";
  return `screen ${attached?.isRinging.value ? "rings" : ""} ${isAway ? "is-away" : ""}`;
}

function Head({ peer, title }) {
  const known = peerOf(peer);
  return html`
    <div class="terminal-head">
      <h1 dir="auto">${peer}</h1>
      ${known && html`<${Status} status=${known.status} evidence=${known.evidence} />`}
      ${title && html`<span class="terminal-title" dir="auto" title=${title}>${title}</span>`}
    </div>
  `;
}

function Tools({ peer, mayType, mode, attached, options, setOptions }) {
  const turn = (event) => navigate(`/terminals/${encodeURIComponent(peer)}${event.target.checked ? "" : "?mode=r"}`, { replace: true });
  return html`
    <label title=${mayType ? undefined : "Your login may only watch"}>
      <input type="checkbox" role="switch" checked=${mode === "rw"} disabled=${!mayType} onChange=${turn} /> Type into it
    </label>
    <button type="button" onClick=${() => attached?.copy()} title="The selected text, or the screen">Copy</button>
    ${mode === "rw" && html`<button type="button" onClick=${() => attached?.paste()}>Paste</button>`}
    <details class="terminal-options">
      <summary>Options</summary>
      <div>
        <label>Text size
          <select value=${options.fontSize} onChange=${(event) => setOptions({ fontSize: Number(event.target.value) })}>
            ${SIZES.map((size) => html`<option key=${size} value=${size}>${size}</option>`)}
          </select>
        </label>
        <label>
          <input type="checkbox" checked=${options.screenReaderMode} onChange=${(event) => setOptions({ screenReaderMode: event.target.checked })} /> Screen reader
        </label>
      </div>
    </details>
    <${Watchers} shared=${attached?.attachment.shared.value} />
  `;
}

function Watchers({ shared }) {
  if (!shared?.clients.length) return null;
  return html`
    <ul class="watchers" aria-label="Watchers">
      ${shared.clients.map(
        ({ id, mode, from }) => html`<li key=${id} dir="auto">${watcherText(id === shared.id, mode, from)}</li>`,
      )}
    </ul>
  `;
}

function watcherText(isOwn, mode, from) {
  if (isOwn) return mode === "rw" ? "you type" : "you watch";
  return `${from} ${mode === "rw" ? "types" : "watches"}`;
}

function Banner({ peer, attached }) {
  const phase = attached?.attachment.phase.value ?? "connecting";
  const end = attached?.attachment.end.value;
  return html`
    <div class="terminal-banner" role="status">
      ${phase === "lost" && html`<p>The connection to the terminal is lost. What you type is sent when it is there again.</p>`}
      ${phase === "behind" && html`<p>The program writes faster than this page draws. Some lines are left out.</p>`}
      ${phase === "ended" && html`<${Ended} peer=${peer} end=${end} onRestart=${() => attached.attachment.restart()} />`}
    </div>
  `;
}

function Ended({ peer, end, onRestart }) {
  const [isStartable, setStartable] = useState(null);
  useEffect(() => void (end.isOver && canStart(peer).then(setStartable, () => setStartable(false))), [end]);
  return html`
    <p dir="auto">${end.text} ${end.hint}</p>
    ${isStartable && html`<${StartButton} name=${peer} label="Start again" onStarted=${onRestart} />`}
    ${isStartable === false && html`<p class="muted">Start it again where you started it.</p>`}
    ${isStartable !== true && html`<button type="button" onClick=${onRestart}>Attach again</button>`}
  `;
}

// Messages that were forwarded to this terminal. They are shown beside it, and never typed.
function Forwarded({ notices }) {
  if (notices.length === 0) return null;
  return html`
    <aside class="forwarded" aria-label="Forwarded messages" aria-live="polite">
      <h2>Forwarded here</h2>
      <ol>
        ${notices.map(
          ({ cursor, from, title, text, time }) => html`
            <li key=${cursor}><strong dir="auto">${title || from}</strong> <time class="muted">${timeText(time)}</time><div dir="auto">${text}</div></li>
          `,
        )}
      </ol>
    </aside>
  `;
}

function Keys({ attached }) {
  const isDisabled = attached.attachment.phase.value !== "attached";
  return html`<${KeyBar} isHeld=${attached.isControlHeld.value} isDisabled=${isDisabled} onKey=${(key) => attached.press(key)} onHold=${() => attached.hold()} />`;
}

function Foot({ attached, mode }) {
  const link = attached?.link.value;
  const text = link ? `Control+click opens ${link}` : attached && sizeText(attached.attachment.shared.value, attached.window.value);
  return html`
    <p class="terminal-foot">
      <span class="size" dir="auto">${text}</span>
      <span class="keys-hint">
        ${mode === "rw" ? html`<kbd>${LEAVE}</kbd> leaves the terminal` : "Read-only"}
      </span>
    </p>
  `;
}

function sizeText({ rows, cols }, room) {
  if (!rows) return "";
  const size = `${cols} × ${rows}`;
  if (!room || (rows >= room.rows && cols >= room.cols)) return size;
  return `${size}: the program has the size of the smallest window that types`;
}

// What the user has chosen for terminals, kept by the browser.
function useOptions() {
  const [options, setOptions] = useState(() => ({ fontSize: 14, screenReaderMode: false, ...kept() }));
  const change = (changed) => {
    const next = { ...options, ...changed };
    localStorage.setItem("terminal", JSON.stringify(next));
    setOptions(next);
  };
  return [options, change];
}

function kept() {
  try {
    return JSON.parse(localStorage.getItem("terminal")) ?? {};
  } catch {
    return {};
  }
}
