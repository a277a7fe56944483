// Where a text was found: by the hub in all messages, and by the page in a conversation.

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

// Where a text occurs in a conversation: in the rows that are loaded, and, as the hub's search says, before them.

// The rows that contain the text, in any case of its letters.
export function rowsWith({ rows }, text) {
  const wanted = text.toLowerCase();
  return wanted ? rows.filter((row) => textsOf(row).some((one) => one.toLowerCase().includes(wanted))) : [];
}

// The places of the hub's hits that are not loaded, oldest first: their numbers, each once.
export function placesBefore(hits, first) {
  const seqs = new Set(hits.map(({ cursor }) => Number(cursor.split(":")[1])).filter((seq) => seq < first));
  return [...seqs].sort((one, other) => one - other);
}

// The row of a place: the one with its number, or else the last one before it.
export function rowAt({ rows }, seq, text) {
  const near = rows.findIndex((row) => row.seq >= seq);
  const end = near < 0 ? rows.length : near + 1;
  const turn = rows[near]?.turn;
  const inTurn = turn ? rows.filter((row) => row.turn === turn) : rows.slice(Math.max(0, end - 2), end);
  const found = text ? rowsWith({ rows: inTurn }, text)[0] : undefined;
  return found ?? rows[end - 1];
}

function textsOf(row) {
  switch (row.kind) {
    case "message":
    case "forwarded":
      return [row.content ?? ""];
    case "tool":
      return [row.name ?? "", JSON.stringify(row.arguments ?? ""), stringOf(row.result)];
    case "context":
      return row.prompts;
    case "plan":
      return row.entries.map(({ text }) => text);
    case "permission":
      return [row.request?.tool ?? "", JSON.stringify(row.request?.detail ?? "")];
    case "end":
      return [row.detail ?? ""];
    case "raw":
      return [JSON.stringify(row.event.data)];
    default:
      return [row.text ?? row.name ?? ""];
  }
}

const stringOf = (value) => (typeof value === "string" ? value : (JSON.stringify(value) ?? ""));
