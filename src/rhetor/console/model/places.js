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
