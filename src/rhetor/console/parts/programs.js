// Programs that run as peers, and the ones that the hub can start.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { get, post, remove } from "#client/api.js";
import { Dialog } from "#parts/dialog.js";
import { notifyProblem } from "#parts/notices.js";

// Programs that run as peers, and the ones that the hub can start.

const place = (name) => encodeURIComponent(name);

// All programs: [{name, description, status, evidence, pid, isTool, installed, howToInstall}].
export async function readPrograms() {
  const [{ tools }, { peers }] = await Promise.all([get("/api/v2/tools"), get("/api/v2/ai")]);
  const known = new Map(tools.map((tool) => [tool.name, tool]));
  return peers.filter((peer) => known.has(peer.id) || peer.pid !== null || peer.status === "gone").map((peer) => {
    const tool = known.get(peer.id);
    return {
      ...pick(peer, ["status", "evidence", "pid", "description"]),
      name: peer.id,
      isTool: tool !== undefined,
      installed: tool?.installed ?? true,
      howToInstall: tool?.how_to_install ?? null,
    };
  });
}

// The status of a program with its screen, which is null if it does not run in a terminal.
export const readStatus = (name, options) => get(`/api/v2/ai/${place(name)}/status`, options);

// Whether the hub can start the program. One that somebody started as a peer is started there again.
export async function canStart(name) {
  const { tools } = await get("/api/v2/tools");
  return tools.some((tool) => tool.name === name);
}

const startProgram = (name) => post(`/api/v2/tools/${place(name)}/launch`);
const stopProgram = (name) => remove(`/api/v2/programs/${place(name)}`);

// The last lines of a screen that have text.
export function lastLines(screen, count) {
  const lines = [...screen];
  while (lines.length && !lines.at(-1).trim()) lines.pop();
  return lines.slice(-count);
}

const pick = (object, names) => Object.fromEntries(names.map((name) => [name, object[name]]));

// Buttons that start and stop a program.

export function StartButton({ name, label = "Start", onStarted }) {
  const [isBusy, run] = useWork(() => startProgram(name), onStarted);
  return html`<button type="button" class="primary" disabled=${isBusy} aria-label="${label} ${name}" onClick=${run}>${isBusy ? "Starting…" : label}</button>`;
}

// Stopping may lose work in the program, so it is confirmed.
export function StopButton({ name, onStopped }) {
  const [isAsked, setAsked] = useState(false);
  const [isBusy, run] = useWork(() => stopProgram(name), onStopped);
  const confirm = () => (setAsked(false), run());
  return html`
    <button type="button" class="danger" disabled=${isBusy} aria-label="Stop ${name}" onClick=${() => setAsked(true)}>${isBusy ? "Stopping…" : "Stop"}</button>
    ${isAsked &&
    html`
      <${Dialog} title="Stop ${name}?" onClose=${() => setAsked(false)}>
        <p>The program ends, and unsaved work is lost.</p>
        <p class="actions"><button type="button" class="danger" onClick=${confirm}>Stop the program</button></p>
      <//>
    `}
  `;
}

function useWork(work, onDone) {
  const [isBusy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    try {
      await work();
      onDone?.();
    } catch (problem) {
      notifyProblem(problem);
    } finally {
      setBusy(false);
    }
  };
  return [isBusy, run];
}
