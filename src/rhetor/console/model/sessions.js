// The sessions of the caller and those that are shared with the caller, and which of them a list shows.
import { computed, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get } from "#client/api.js";
import { watch } from "#client/connection.js";

// The sessions of the caller and those that are shared with the caller, kept up to date while a view shows them.

const COSTS_SECONDS = 20;
const known = signal(null); // null before the first answer; then id → session
const summaries = signal(new Map()); // id → {first, messages, cost, cost_is_complete}

export const problem = signal(null);
export const isLoaded = computed(() => known.value !== null);
export const hasMore = signal(false);

// The newest first. A session has `shown`, what the list calls it, and `summary` if it is known.
export const sessions = computed(() => {
  const all = [...(known.value?.values() ?? [])].map(described);
  return all.sort((a, b) => Date.parse(b.used_at) - Date.parse(a.used_at));
});

// Keep the list up to date while the component is shown. `states`: which sessions it has.
export function useSessions(states) {
  useEffect(() => {
    const end = watch("watchSessions", { states }, { onStart: start, onChange: change, onProblem: (error) => (problem.value = error) });
    const read = () => readSummaries(states);
    read();
    const timer = setInterval(read, COSTS_SECONDS * 1000);
    return () => {
      end();
      clearInterval(timer);
      known.value = null;
    };
  }, [states.join()]);
}

function described(session) {
  const summary = summaries.value.get(session.id) ?? null;
  return { ...session, summary, shown: session.name ?? session.title ?? (summary?.first || null) };
}

function start({ sessions: all, more }) {
  known.value = new Map(all.map((session) => [session.id, session]));
  hasMore.value = Boolean(more);
  problem.value = null;
}

function change(name, { changed, removed }) {
  const next = new Map(known.value);
  for (const session of changed) next.set(session.id, session);
  for (const id of removed) next.delete(id);
  known.value = next;
}

// What sessions have cost is summed up only when it is asked for.
async function readSummaries(states) {
  if (document.hidden) return;
  const answers = await Promise.all(states.map((state) => get(`/api/v2/sessions?summary=true&state=${state}`).catch(() => null)));
  const found = answers.flatMap((answer) => answer?.sessions ?? []);
  if (found.length) summaries.value = new Map(found.map((session) => [session.id, session.summary]));
}

// Which sessions a list shows. No DOM.

export const STATES = [
  ["", "All that are open"],
  ["running", "Running"],
  ["waiting", "Wait for you"],
  ["paused", "Paused"],
  ["ended", "Ended"],
];

const OPEN = ["active", "waiting", "paused"];
const ENDED = ["stopped", "failed", "expired"];

// The states, as the hub names them, of the sessions that a filter can have.
export const statesOf = ({ state }) => (state === "ended" ? ENDED : OPEN);

// The state that a list shows: a session whose turn runs is `running`.
export function stateOf(session) {
  if (session.state !== "active") return session.state;
  return session.turn ? "running" : "idle";
}

// The sessions that match a filter {state, peer, project, text}. All words of the text must be in the title, the
// name or the id.
export function matching(sessions, { state, peer, project, text }) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return sessions.filter((session) => {
    if (state && state !== "ended" && stateOf(session) !== state) return false;
    if (peer && session.specialist_id !== peer) return false;
    if (project && session.project_id !== project) return false;
    const all = `${session.shown ?? ""} ${session.title ?? ""} ${session.name ?? ""} ${session.id} ${session.specialist_id}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

// The filter as a query, without what is not set, and back.
export function toQuery(filter) {
  const set = Object.entries(filter).filter(([, value]) => value);
  return set.length ? `?${new URLSearchParams(set)}` : "";
}

export function fromQuery(query) {
  return Object.fromEntries(["state", "peer", "project", "text"].map((name) => [name, query.get(name) ?? ""]));
}

// The projects, which are read when a view first asks for them.

export const projects = signal([]);

let reading = null;

export function readProjects() {
  reading ??= get("/api/projects").then(({ projects: found }) => (projects.value = found), () => (reading = null));
}

export const projectName = (id) => projects.value.find((project) => project.id === id)?.name ?? id;
