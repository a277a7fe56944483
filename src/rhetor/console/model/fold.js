// What each event changes in a conversation.

// What each type of event does to a conversation. A type that nothing here knows is shown as it is.

export function fold(conversation, event, turn) {
  (FOLDS[event.type] ?? raw)(conversation, event.data, turn, event);
}

const STATES = {
  active: "The session is open",
  stopped: "The session has ended",
  failed: "The session has failed",
  expired: "The session has expired",
};

// the types that are folded into turns, rows and notes; others are shown as raw events
export const FOLDS = {
  "message.accepted": (all, data, turn, event) => {
    const row = all.put({ kind: "message", isFirst: true, ...data, from: data.from }, turn, event);
    set(turn, { message: row });
  },
  "turn.queued": (all, data, turn) => {
    set(turn, { state: "queued", position: data.position });
    if (turn?.message) all.touch(turn.message);
  },
  "turn.started": (all, data, turn, event) => {
    if (turn && !turn.startSeq) {
      all.takeFromQueue(turn);
      turn.startSeq = event.seq;
    }
    if (turn?.message) all.touch(turn.message); // it waits no longer
    set(turn, { state: "running", peer: data.peer, model: data.model ?? turn?.model ?? null });
    if (turn && !turn.startedAt) turn.startedAt = event.at;
    if (data.instead_of) note(all, turn, event, `${data.peer} answers instead of ${data.instead_of}`);
  },
  "output.delta": output,
  "output.partial": (all, data, turn, event) => turn && settle(all, turn, data.text, event),
  "tool.called": (all, data, turn, event) => {
    finish(all, turn);
    const row = { kind: "tool", callId: data.call_id, name: data.name, arguments: data.arguments, runsAt: data.runs_at };
    const rest = { isFirst: !turn, isDone: false, isOver: false, isError: false, result: undefined, endedAt: null };
    all.calls.set(data.call_id, all.put({ ...row, ...rest }, turn, event));
    set(turn, { doing: { kind: "tool", name: data.name, arguments: data.arguments } });
  },
  "tool.returned": (all, data, turn, event) => {
    const known = all.calls.get(data.call_id);
    const row = known ?? all.put({ kind: "tool", callId: data.call_id, name: null, isFirst: !turn }, turn, event);
    if (!known) all.unknown.set(data.call_id, row);
    Object.assign(row, { isDone: true, isError: data.is_error === true, result: data.result, endedAt: event.at });
    all.calls.delete(data.call_id);
    all.touch(row);
    set(turn, { doing: null });
  },
  "permission.asked": (all, data, turn, event) => {
    finish(all, turn);
    const request = { ...data, session_id: event.session_id, turn_id: event.turn_id, peer: turn?.peer, asked_at: event.at };
    all.requests.set(data.request_id, all.put({ kind: "permission", request, answer: null }, turn, event));
    set(turn, { state: "waiting" });
  },
  "permission.answered": (all, data, turn, event) => {
    const row = all.requests.get(data.request_id) ?? all.put({ kind: "permission", request: null }, turn, event);
    row.answer = data;
    all.requests.delete(data.request_id);
    all.touch(row);
    if (turn?.state === "waiting" && ![...all.requests.values()].some((one) => one.turn === turn)) turn.state = "running";
  },
  "context.injected": (all, data, turn, event) => all.put({ kind: "context", isFirst: !turn, ...data }, turn, event),
  "message.forwarded": (all, data, turn, event) => all.put({ kind: "forwarded", isFirst: !turn, ...data }, turn, event),
  "forward.failed": (all, data, turn, event) =>
    note(all, turn, event, `Not forwarded to ${data.to}: ${data.detail}`, { tone: "bad", hint: data.hint, code: data.code }),
  "usage.reported": (all, data, turn) => turn && count(turn.usage, data),
  "budget.reached": (all, data, turn, event) =>
    note(all, turn, event, `${Math.round(data.share * 100)}% of the limit ${data.limit} of ${data.budget} is used`, { tone: "warn" }),
  "quota.paused": (all, data, turn, event) =>
    note(all, turn, event, `Paused until the usage limit ends: ${data.reason}`, { tone: "warn", until: data.resets_at }),
  "agent.record": record,
  "reasoning.kept": record,
  "agent.plan": (all, data, turn, event) => {
    const plan = turn?.plan;
    if (!plan) {
      const row = all.put({ kind: "plan", isFirst: !turn, entries: data.entries }, turn, event);
      set(turn, { plan: row });
      return;
    }
    plan.entries = data.entries;
    all.touch(plan);
  },
  "blob.kept": (all, data, turn, event) => all.put({ kind: "blob", isFirst: !turn, ...data }, turn, event),
  "turn.completed": (all, data, turn, event) => {
    if (turn) settle(all, turn, data.text, event);
    const { finish_reason: finish, seconds, cost, usage, called } = data;
    end(all, turn, event, { state: "completed", finish, seconds, cost, total: usage, called });
  },
  "turn.failed": (all, data, turn, event) => {
    const { code, detail, retryable } = data;
    end(all, turn, event, { state: "failed", code, detail, retryable, hint: data.data?.hint ?? null, data: data.data });
  },
  "turn.cancelled": (all, data, turn, event) => end(all, turn, event, { state: "cancelled", by: data.by }),
  "turn.interrupted": (all, data, turn, event) => end(all, turn, event, { state: "interrupted", reason: data.reason }),
  "session.state": (all, data, turn, event) => note(all, null, event, STATES[data.state] ?? `The session is ${data.state}`),
  "peer.status": (all, data, turn, event) => note(all, turn, event, `${data.peer} is ${data.status}: ${data.evidence}`),
  "peer.exited": (all, data, turn, event) => {
    const how = data.signal != null ? `was ended by signal ${data.signal}` : `ended with exit code ${data.exit_code ?? "unknown"}`;
    note(all, turn, event, `${data.peer} ${how}`, { tone: "warn" });
  },
  "peer.lost": (all, data, turn, event) => note(all, turn, event, `${data.peer} was lost: ${data.reason}`, { tone: "bad" }),
  "checkpoint.made": (all, data, turn, event) =>
    all.put({ kind: "checkpoint", isFirst: !turn, ...data }, turn, event),
  "checkpoint.failed": (all, data, turn, event) =>
    note(all, turn, event, `No checkpoint: ${data.detail}`, { tone: "warn", hint: data.hint, code: data.code }),
  "checkpoint.removed": (all, data, turn, event) =>
    note(all, turn, event, `Checkpoint ${data.name || data.checkpoint_id} was removed (${data.limit})`),
  "schedule.changed": (all, data, turn, event) =>
    note(all, turn, event, `Schedule ${data.name}: ${data.change} by ${data.by}`, { until: data.next_at }),
  "schedule.due": (all, data, turn, event) => note(all, turn, event, `Schedule ${data.name} is due`),
  "schedule.skipped": (all, data, turn, event) =>
    note(all, turn, event, `Schedule ${data.name} did not run: ${data.detail}`, { tone: "warn", code: data.code }),
  // its text is in the end of the turn
  folded: (all, data, turn, event) => {
    if (!turn) return;
    turn.isFolded = true;
    if (!turn.channels.answer) piece(all, turn, "answer", "", event);
  },
};

function output(all, { text, channel = "answer" }, turn, event) {
  if (!turn) return loose(all, text, channel, event);
  if (channel === "answer") finish(all, turn, ["reasoning"]);
  if (channel === "reasoning") finish(all, turn, ["answer"]);
  piece(all, turn, channel, text, event);
  if (turn.doing?.kind !== channel) turn.doing = { kind: channel };
}

function piece(all, turn, channel, text, event) {
  let row = turn.channels[channel];
  if (!row) {
    row = turn.channels[channel] = all.put({ kind: channel, text: "" }, turn, event);
    if (channel === "answer") turn.answers.push(row);
  }
  row.text += text;
  row.endedAt = event.at;
  if (channel === "answer") turn.length += text.length;
  all.touch(row);
}

// Output outside of a turn: what a program printed although nobody asked.
function loose(all, text, channel, event) {
  const before = all.rows.at(-1);
  const row = before?.kind === channel && !before.turn ? before : all.put({ kind: channel, isFirst: true, text: "" }, null, event);
  row.text += text;
  all.touch(row);
}

// The next text of these channels, or of all, begins a new row, because something else comes first.
function finish(all, turn, channels = Object.keys(turn?.channels ?? {})) {
  for (const channel of channels) {
    const row = turn.channels[channel];
    if (row) all.touch(row); // it does not grow any more
    turn.channels[channel] = null;
  }
}

function record(all, data, turn, event) {
  const known = turn?.records;
  const row = known ?? all.put({ kind: "records", isFirst: !turn, events: [] }, turn, event);
  row.events.push(event);
  all.touch(row);
  set(turn, { records: row });
}

function end(all, turn, event, fields) {
  if (!turn) return raw(all, event.data, turn, event);
  finish(all, turn);
  if (!turn.startSeq) all.takeFromQueue(turn);
  for (const [id, row] of all.calls) {
    if (row.turn !== turn || row.runsAt === "caller") continue;
    all.calls.delete(id);
    row.isOver = true;
    all.touch(row);
  }
  all.put({ kind: "end", usage: turn.usage, peer: turn.peer, model: turn.model, ...fields }, turn, event);
  // only now, because what follows the end has another place
  Object.assign(turn, { state: fields.state, endedAt: event.at, endSeq: event.seq, doing: null });
}

function note(all, turn, event, text, more = {}) {
  all.put({ kind: "note", isFirst: !turn, type: event.type, text, tone: null, hint: null, code: null, until: null, ...more }, turn, event);
}

function raw(all, data, turn, event) {
  all.put({ kind: "raw", isFirst: !turn, event }, turn, event);
}

function count(usage, { input_tokens: input, output_tokens: written, cached_tokens: cached, cost }) {
  usage.calls += 1;
  usage.input += input;
  usage.output += written;
  usage.cached += cached ?? 0;
  if (cost == null) usage.isPriced = false;
  else usage.cost = (usage.cost ?? 0) + Number(cost);
}

function set(turn, fields) {
  if (turn) Object.assign(turn, fields);
}

// Makes the answer of a turn what its end says, which has the whole text. Usually the pieces have it already.
// They do not if the store has replaced them (`folded`), or if text arrived late.

function settle(all, turn, text, event) {
  if (!turn.isFolded && turn.length === text.length) return;
  if (turn.kept) return; // its beginning is not loaded, so it can only have the end of the text
  const known = turn.answers.map((row) => row.text).join("");
  if (known && !turn.isFolded && text.startsWith(known)) append(all, turn.answers.at(-1), text.slice(known.length));
  else replace(all, turn, text, event);
  turn.length = text.length;
  turn.isFolded = false;
}

function append(all, row, text) {
  row.text += text;
  all.touch(row);
}

// Where each piece of the text was is no longer known, so all of it is where the last one was.
function replace(all, turn, text, event) {
  const row = turn.answers.pop() ?? all.put({ kind: "answer", text: "" }, turn, event);
  for (const other of turn.answers) all.remove(other);
  row.text = "";
  append(all, row, text);
  turn.answers = [row];
}
