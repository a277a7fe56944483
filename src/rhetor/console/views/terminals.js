// Programs: the ones with a screen, the ones without, and the ones that can be started.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { Status } from "#parts/loaded.js";
import { lastLines, readPrograms, readStatus, StartButton, StopButton } from "#parts/programs.js";

const SECONDS = 2; // between two looks at the screens
const LINES = 8;

export default function Terminals() {
  const [{ programs, problem }, read] = usePrograms();
  if (!programs) return html`<h1>Terminals</h1><${Loading} problem=${problem} />`;
  const running = programs.filter((program) => program.pid !== null);
  const withScreen = running.filter((program) => program.screen);
  const without = running.filter((program) => !program.screen);
  const stopped = programs.filter((program) => program.pid === null);
  return html`
    <h1>Terminals</h1>
    ${problem && html`<${Loading} problem=${problem} />`}
    <${Group} title="Running in a terminal" empty="No program runs in a terminal. Start one below, or with aish ci-tool." programs=${withScreen} onChange=${read} />
    <${Group} title="Running without a terminal" programs=${without} onChange=${read} />
    <${Group} title="Not running" programs=${stopped} onChange=${read} />
  `;
}

function Loading({ problem }) {
  if (!problem) return html`<p class="loading" role="status">Loading…</p>`;
  return html`<p class="problem" role="alert">${problem.message} ${problem.hint}</p>`;
}

function Group({ title, programs, empty, onChange }) {
  if (programs.length === 0 && !empty) return null;
  return html`
    <section aria-label=${title}>
      <h2>${title}</h2>
      ${programs.length === 0 && html`<p class="muted">${empty}</p>`}
      <ul class="cards programs">
        ${programs.map((program) => html`<${Program} key=${program.name} program=${program} onChange=${onChange} />`)}
      </ul>
    </section>
  `;
}

function Program({ program, onChange }) {
  const { name, status, evidence, description, screen, pid } = program;
  const path = `/terminals/${encodeURIComponent(name)}`;
  return html`
    <li class="card program">
      <h3>
        ${screen ? html`<a href=${path} dir="auto">${name}</a>` : html`<a href="/peers/${encodeURIComponent(name)}" dir="auto">${name}</a>`}
        <${Status} status=${status} />
      </h3>
      <p class="evidence" dir="auto">${evidence}</p>
      ${screen ? html`<pre aria-label="Last lines of ${name}" role="img">${lastLines(screen, LINES).join("\n")}</pre>` : description && html`<p class="description" dir="auto">${description}</p>`}
      <div class="actions">
        ${screen && html`<a class="button" href=${path} aria-label="Open ${name}">Open</a><a class="button" href="${path}?mode=r" aria-label="Watch ${name}">Watch</a>`}
        ${pid === null ? html`<${Startable} program=${program} onChange=${onChange} />` : html`<${StopButton} name=${name} onStopped=${onChange} />`}
      </div>
    </li>
  `;
}

function Startable({ program: { name, isTool, installed, howToInstall }, onChange }) {
  if (!isTool) return html`<p class="muted">Start it again where you started it.</p>`;
  if (!installed) return html`<p class="muted" dir="auto">${howToInstall}</p>`;
  return html`<${StartButton} name=${name} onStarted=${onChange} />`;
}

// The programs with their screens, read again while the page is visible.
function usePrograms() {
  const [found, setFound] = useState({ programs: null, problem: null });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    let timer = null;
    const look = async () => {
      if (!document.hidden) await readAll(stop.signal, setFound);
      if (!stop.signal.aborted) timer = setTimeout(look, SECONDS * 1000);
    };
    look();
    return () => (stop.abort(), clearTimeout(timer));
  }, [round]);
  return [found, () => setRound((one) => one + 1)];
}

async function readAll(signal, setFound) {
  try {
    const programs = await Promise.all((await readPrograms()).map((program) => withScreenOf(program, signal)));
    if (!signal.aborted) setFound({ programs, problem: null });
  } catch (problem) {
    if (!signal.aborted) setFound(({ programs }) => ({ programs, problem }));
  }
}

// A program may end, or hang, between two requests; it is then shown without its screen.
async function withScreenOf(program, signal) {
  if (program.pid === null) return program;
  const status = await readStatus(program.name, { signal }).catch(() => null);
  return status ? { ...program, status: status.status, evidence: status.evidence, pid: status.pid, screen: status.screen } : program;
}
