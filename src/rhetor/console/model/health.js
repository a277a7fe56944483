// What the hub reports about itself as a list of findings: what works, what to know, and what to do.
import { bytesText, countText, timeText } from "#parts/text.js";

const ORDER = ["problem", "note", "good", "absent"];
const NEAR = 0.8; // of a budget
const DAY = 24 * 60 * 60 * 1000; // milliseconds
const BACKUP_DAYS = 7;
const LITTLE_SPACE = 1024 ** 3; // bytes
const ELSEWHERE = new Set(["certificate", "model"]); // problems that the status has with more detail

// `data`: {status, health, ready, tools, notify, budgets, connection}; what could not be read is null.
// A finding is {state, about, text, hint, link}. `absent` is what could be used and is not: no fault.
export function findingsOf(data) {
  const found = [
    ...hub(data), ...problems(data), ...store(data), ...backup(data), ...provider(data), ...models(data),
    ...certificate(data), ...schedules(data), ...tools(data), ...budgets(data), ...recipients(data),
  ];
  return found.sort((one, other) => ORDER.indexOf(one.state) - ORDER.indexOf(other.state));
}

const finding = (state, about, text, hint = null, link = null) => ({ state, about, text, hint, link });

function* hub({ status, ready, connection }) {
  if (ready && !ready.ok) yield finding("problem", "hub", ready.detail, "It accepts no messages. If it is shutting down, the next message starts it again.");
  if (connection === "lost") yield finding("problem", "connection", "The live connection of this page is lost.", "The page connects again by itself.");
  if (!status) return;
  const process = status.pid == null ? "" : `, process ${status.pid}`;
  yield finding("good", "hub", `Version ${status.version}${process}, started ${timeText(status.started_at)}, at ${status.url}`);
}

// What only the health says: for example a stuck program that is none of the coding agents.
function* problems({ health, tools: list }) {
  const isKnown = ({ code, detail }) =>
    ELSEWHERE.has(code) || (code === "stuck" && list?.some(({ name, status }) => status === "stuck" && detail.startsWith(`${name} `)));
  for (const problem of health?.problems ?? []) if (!isKnown(problem)) yield finding("problem", problem.code, problem.detail, problem.hint || null);
}

function* store({ health }) {
  const found = health?.store;
  if (!found) return;
  if (found.free_bytes !== null && found.free_bytes < LITTLE_SPACE) {
    yield finding("problem", "store", `Only ${bytesText(found.free_bytes)} are free where the hub keeps its state`, "Free some space, or limit what the hub keeps with retention.max_bytes or retention.max_age_days.", "/settings?find=retention");
  } else yield finding("good", "store", `${bytesText(found.bytes)}${found.free_bytes === null ? "" : `, ${bytesText(found.free_bytes)} free`}`);
}

// A hub that is new needs no backup yet.
function* backup({ health }, now = Date.now()) {
  const oldest = health?.store?.oldest_event_at;
  const isOld = (at) => now - Date.parse(at) > BACKUP_DAYS * DAY;
  const last = health?.last_backup;
  if (last) yield finding(isOld(last.at) ? "note" : "good", "backup", `The last one began ${timeText(last.at)}${last.file ? `: ${last.file}` : ""}`, isOld(last.at) ? "To make one, run: rhetor backup" : null);
  else if (oldest && isOld(oldest)) yield finding("note", "backup", `None is known, and the hub has kept events since ${timeText(oldest)}`, "To make one, run: rhetor backup. Backups made while the hub was not running are not known.");
}

function* provider({ status }) {
  const found = status?.provider;
  if (!found) return;
  if (found.error) yield finding("problem", "provider", found.error, found.hint ?? null);
  else if (found.name === "offline") {
    yield finding("note", "provider", "No provider is set up: the embedded offline model answers.", "Run aish setup, or set an API key in the settings.", "/settings?find=keys");
  } else {
    const place = found.base_url ? ` at ${found.base_url}` : "";
    yield finding("good", "provider", `${[found.name, found.model].filter(Boolean).join(" ")}${place}`);
  }
}

function* models({ status }) {
  for (const { setting, detail, hint, unknown } of status?.models ?? []) {
    yield finding(unknown ? "problem" : "note", "model", `${setting}: ${detail}`, hint, `/settings?find=${encodeURIComponent(setting)}`);
  }
}

function* certificate({ status }) {
  const found = status?.certificate;
  if (!found) return;
  const day = (found.expires ?? "").slice(0, 10);
  const renew = "To renew it, run: rhetor cert create";
  if (found.state === "valid") yield finding("good", "certificate", `Valid until ${day}`);
  else if (found.state === "expires_soon") yield finding("note", "certificate", `Expires on ${day}`, renew);
  else if (found.state === "expired") yield finding("problem", "certificate", `Expired on ${day}, so other machines cannot connect`, renew);
  else yield finding("problem", "certificate", found.detail ?? "It is invalid", renew);
}

function* schedules({ status }) {
  const found = status?.schedules;
  if (!found || found.active + found.paused === 0) return;
  const paused = found.paused ? `, ${found.paused} paused` : "";
  const text = found.active ? `${found.active} active${paused}, the next one runs ${timeText(found.next_at)}` : `${found.paused} paused`;
  const needsStart = found.active > 0 && !found.starts_again;
  yield finding(needsStart ? "note" : "good", "schedules", text, needsStart ? "A shell started this hub, so nothing starts it again when the machine restarts. To keep a hub running, run it as a service." : null);
}

function* tools({ tools: list }) {
  for (const tool of list ?? []) {
    const link = `/peers/${encodeURIComponent(tool.name)}`;
    if (!tool.installed) yield finding("absent", tool.name, "Not installed", tool.how_to_install, link);
    else if (tool.login.known === "no") yield finding("problem", tool.name, "Not logged in", tool.login.how, link);
    else if (tool.status === "stuck") yield finding("problem", tool.name, `Stuck: ${tool.evidence}`, "Open the peer, and look at its screen or interrupt its turn.", link);
    else if (tool.status === "blocked") yield finding("note", tool.name, `Waits: ${tool.evidence}`, "Answer its request.", "/permissions");
    else yield finding("good", tool.name, `Installed, ${tool.status}`, null, link);
  }
}

function* budgets({ budgets: list }) {
  for (const { name, limits, note } of list ?? []) {
    for (const { share, period, resets_at: resets } of limits) {
      const text = `${name}: ${Math.floor(share * 100)}% used this ${period}`;
      const hint = share >= 1 ? `The limit is reached. It resets ${timeText(resets)}.` : null;
      yield finding(share >= NEAR ? "note" : "good", "budget", text, hint, "/costs");
    }
    if (note) yield finding("note", "budget", `${name}: ${note}`, null, "/costs");
  }
}

function* recipients({ notify: list }) {
  for (const { name, kind, ok, detail, hint, waiting } of list ?? []) {
    const queue = waiting ? `, ${countText(waiting)} waiting` : "";
    if (ok) yield finding("good", "notify", `${name} (${kind})${queue}`);
    else yield finding("problem", "notify", `${name}: ${detail ?? "the last attempt failed"}${queue}`, hint ?? `To try it, run: aish notify test ${name}`, "/settings?find=notify");
  }
}
