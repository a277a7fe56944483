// Messages that were found: where they are, and which parts of them are marked.

// The parts of an excerpt: [{text, isMarked}]. The hub counts characters, not UTF-16 units.
export function partsOf(excerpt, highlights) {
  const characters = [...excerpt];
  const parts = [];
  let at = 0;
  for (const [start, length] of highlights) {
    parts.push({ text: characters.slice(at, start).join(""), isMarked: false });
    parts.push({ text: characters.slice(start, start + length).join(""), isMarked: true });
    at = start + length;
  }
  parts.push({ text: characters.slice(at).join(""), isMarked: false });
  return parts.filter(({ text }) => text !== "");
}

// The path of a message in the console. A step of a plan may have no session of its own.
export function pathOf({ stream, turn_id: turn }) {
  const id = encodeURIComponent(stream);
  if (stream.startsWith("p_")) return `/line?plan=${id}`;
  return turn ? `/sessions/${id}?turn=${encodeURIComponent(turn)}` : `/sessions/${id}`;
}

// Hits by their session or plan, in the order of the best hit of each: [{stream, hits}].
export function grouped(hits) {
  const groups = new Map();
  for (const hit of hits) {
    if (!groups.has(hit.stream)) groups.set(hit.stream, []);
    groups.get(hit.stream).push(hit);
  }
  return [...groups].map(([stream, found]) => ({ stream, hits: found }));
}

export const SINCE = [
  ["", "any time", null],
  ["1h", "the last hour", 3600],
  ["1d", "the last 24 hours", 86_400],
  ["7d", "the last 7 days", 7 * 86_400],
  ["30d", "the last 30 days", 30 * 86_400],
];

// What the address asks for, as the parameters of the API. `now`: Unix time in milliseconds.
export function parametersOf(query, now) {
  const sent = new URLSearchParams();
  for (const name of ["q", "peer", "session", "model"]) if (query.get(name)?.trim()) sent.set(name, query.get(name).trim());
  const [, , seconds] = SINCE.find(([key]) => key === query.get("since")) ?? [];
  if (seconds) sent.set("since", new Date(now - seconds * 1000).toISOString());
  return sent;
}

// The beginning of a long text, cut between two characters.
export function beginningOf(text, most = 280) {
  const characters = [...text.slice(0, 2 * most + 2)]; // at most two units each
  return characters.length > most ? `${characters.slice(0, most).join("").trimEnd()}…` : text;
}
