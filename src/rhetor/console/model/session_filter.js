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
