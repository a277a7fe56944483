// Events as the hub sends them, for tests of what is folded from them.
let seq = 0;

export const restart = () => (seq = 0);

export function event(type, data = {}, turn = "t1", more = {}) {
  seq += 1;
  const at = new Date(1_700_000_000_000 + seq * 1000).toISOString();
  return { epoch: "e", seq, prev: seq - 1, cursor: `e:${seq}`, session_id: "s", turn_id: turn, at, type, data, ...more };
}

export const said = (content, turn = "t1") =>
  event("message.accepted", { message_id: `m-${turn}`, role: "user", content, from: "me", via: [] }, turn);
export const started = (turn = "t1", peer = "apollo") => event("turn.started", { peer, model: null }, turn);
export const text = (text, channel = "answer", turn = "t1") => event("output.delta", { text, channel }, turn);
export const called = (id, turn = "t1", runsAt = "agent") =>
  event("tool.called", { call_id: id, name: "Bash", arguments: { command: "ls" }, runs_at: runsAt }, turn);
export const returned = (id, result = "a.py", turn = "t1") =>
  event("tool.returned", { call_id: id, result, is_error: false }, turn);
export const completed = (text, turn = "t1") =>
  event("turn.completed", { message_id: "a", text, finish_reason: "stop", usage: null, cost: null, seconds: 2 }, turn);

// What a reader sees: the kind of each row, and its text.
export const seen = ({ rows }) => rows.map((row) => [row.kind, row.content ?? row.text ?? row.name ?? row.state ?? null]);
