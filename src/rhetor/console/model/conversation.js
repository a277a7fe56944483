// The events of a session as a conversation: rows in the order of reading, and the turns that they belong to.
//
// It holds no DOM and no signals, so it also runs in Node. Objects are changed in place: a row whose content has
// changed has a higher `version`, and `changedFrom` says from which index on rows were added or removed. Each
// event costs the same, however long the conversation is.
import { fold } from "#model/fold.js";

const OPEN = new Set(["accepted", "queued", "running", "waiting"]);

let lastKey = 0;

export class Conversation {
  constructor() {
    this.rows = [];
    this.turns = new Map(); // id → turn
    this.calls = new Map(); // id of a tool call without result → its row
    this.requests = new Map(); // id of a permission request without answer → its row
    this.unknown = new Map(); // id of a tool call that is not loaded → the row that has only its result
    this.open = new Set(); // turns that have not ended, in order
    this.changedFrom = 0;
    this.version = 0;
  }

  // The turn that runs or waits for an answer; undefined if there is none.
  get running() {
    for (const turn of this.open) if (turn.state === "running" || turn.state === "waiting") return turn;
    return undefined;
  }

  // The turns that wait for their start, in order.
  get queued() {
    return [...this.open].filter((turn) => isUnstarted(turn));
  }

  // The permission requests that nobody has answered, as in `GET /api/v2/permissions`.
  get pending() {
    return [...this.requests.values()].map((row) => row.request);
  }

  add(event) {
    this.version += 1;
    const turn = this.#turnOf(event);
    if (turn) turn.lastSeq = event.seq;
    if (turn?.kept) turn.kept.push(event);
    fold(this, event, turn);
    if (turn && !OPEN.has(turn.state)) this.open.delete(turn);
  }

  // Put earlier events in front. A turn whose beginning was missing is built again, now with it.
  prepend(events) {
    const earlier = new Conversation();
    for (const event of events) earlier.add(event);
    const again = [...this.turns.values()].filter(({ id }) => earlier.turns.has(id));
    const kept = again.flatMap((turn) => turn.kept ?? []);
    for (const event of kept.sort((one, other) => one.seq - other.seq)) earlier.add(event);
    this.#join(earlier, new Set(again));
  }

  #join(earlier, again) {
    const isRest = ({ turn }) => !again.has(turn);
    const known = this.rows;
    this.rows = earlier.rows.concat(again.size ? this.rows.filter(isRest) : this.rows);
    if (again.size) this.rows.sort(byPlace);
    for (const row of known) if (!isRest(row) && row.kind === "tool" && row.isDone) giveResult(earlier, row);
    keepLook(known.filter((row) => !isRest(row)), earlier.rows);
    for (const [id, row] of this.unknown) if (isRest(row) && giveResult(earlier, row)) this.#drop(id, row);
    for (const turn of again) [this.turns.delete(turn.id), this.open.delete(turn)];
    this.turns = new Map([...earlier.turns, ...this.turns]);
    this.open = new Set([...earlier.open, ...this.open]);
    for (const name of ["calls", "requests", "unknown"]) {
      this[name] = new Map([...earlier[name], ...[...this[name]].filter(([, row]) => isRest(row))]);
    }
    this.changedFrom = 0;
    this.version += 1;
  }

  #drop(id, row) {
    this.unknown.delete(id);
    this.rows.splice(this.rows.indexOf(row), 1);
  }

  // Forget the oldest rows, so that at most about `most` are left, where no turn is cut. Returns the number of
  // the first event that is left; null if nothing was removed.
  trim(most) {
    const count = this.#cut(this.rows.length - most);
    if (!count) return null;
    for (const { turn } of this.rows.slice(0, count)) if (turn) this.turns.delete(turn.id);
    this.rows = this.rows.slice(count);
    this.unknown.clear();
    this.changedFrom = 0;
    this.version += 1;
    return this.rows[0].seq;
  }

  // The first index from `least` on before which every turn has ended, and after which none began before.
  #cut(least) {
    if (least <= 0) return 0;
    const firsts = new Array(this.rows.length);
    let first = Infinity;
    for (let index = this.rows.length - 1; index >= 0; index -= 1) {
      first = Math.min(first, this.rows[index].seq);
      firsts[index] = first;
    }
    let last = 0;
    for (const [index, { turn, seq }] of this.rows.entries()) {
      if (index >= least && last < firsts[index] && firsts[index] === seq) return index;
      if (turn && OPEN.has(turn.state)) return 0;
      last = Math.max(last, turn?.lastSeq ?? 0, seq);
    }
    return 0;
  }

  // Add a row at its place: before the messages that wait, or behind what its turn already has.
  put(row, turn, event) {
    Object.assign(row, { key: ++lastKey, version: 0, turn, seq: event.seq, at: event.at });
    const index = this.#placeOf(turn);
    if (turn) turn.hasRows = true;
    if (index === this.rows.length) this.rows.push(row);
    else this.rows.splice(index, 0, row);
    this.changedFrom = Math.min(this.changedFrom, index);
    return row;
  }

  touch(row) {
    row.version += 1;
  }

  remove(row) {
    const index = this.rows.lastIndexOf(row);
    if (index < 0) return;
    this.rows.splice(index, 1);
    this.changedFrom = Math.min(this.changedFrom, index);
  }

  #turnOf(event) {
    const id = event.turn_id;
    if (!id) return null;
    let turn = this.turns.get(id);
    if (!turn) {
      const isWhole = event.type === "message.accepted";
      turn = newTurn(id, event.at, isWhole ? null : []);
      turn.firstSeq = event.seq;
      this.turns.set(id, turn);
      this.open.add(turn);
    }
    return turn;
  }

  // Move what a waiting turn has before the messages that still wait, because it starts or ends now.
  takeFromQueue(turn) {
    let index = this.rows.length;
    while (index > 0 && this.rows[index - 1].turn && isUnstarted(this.rows[index - 1].turn)) index -= 1;
    const waiting = this.rows.slice(index);
    if (!waiting.length || waiting[0].turn === turn) return;
    this.rows.length = index;
    this.rows.push(...waiting.filter((row) => row.turn === turn), ...waiting.filter((row) => row.turn !== turn));
    this.changedFrom = Math.min(this.changedFrom, index);
  }

  #placeOf(turn) {
    let index = this.rows.length;
    if (turn?.hasRows && (isUnstarted(turn) || !OPEN.has(turn.state))) {
      while (this.rows[index - 1].turn !== turn) index -= 1;
      return index;
    }
    if (turn && isUnstarted(turn)) return index;
    while (index > 0 && this.rows[index - 1].turn && isUnstarted(this.rows[index - 1].turn)) index -= 1;
    return index;
  }
}

// Rows that are made again are as high, and as open, as they were.
function keepLook(before, rows) {
  const known = new Map(before.map((row) => [`${row.kind}:${row.seq}`, row]));
  for (const row of known.size ? rows : []) {
    const { isOpen, height } = known.get(`${row.kind}:${row.seq}`) ?? row;
    if (height !== undefined) Object.assign(row, { isOpen, height });
  }
}

// Give a call without result the one of a later event, which another turn may have. Returns whether there is one.
function giveResult({ calls }, { callId, isError, result, endedAt }) {
  const call = calls.get(callId);
  if (call) Object.assign(call, { isDone: true, isError, result, endedAt });
  return calls.delete(callId);
}

// The order of rows, as `put` makes it: a message is where its turn starts, and what comes after the end of a
// turn is at its end.
function byPlace(one, other) {
  return difference(placeOf(one), placeOf(other)) || (one.turn?.firstSeq ?? 0) - (other.turn?.firstSeq ?? 0) || one.seq - other.seq;
}

const difference = (one, other) => (one === other ? 0 : one - other); // two infinite ones, too

function placeOf({ turn, seq }) {
  if (!turn) return seq;
  if (isUnstarted(turn)) return Infinity;
  return Math.min(Math.max(seq, turn.startSeq ?? turn.endSeq ?? 0), turn.endSeq ?? Infinity);
}

// `kept`: the events of a turn whose beginning is not loaded; null if it is. `channels`: the row of each channel
// that the next piece of text belongs to. `answers`: the rows that have its answer.
function newTurn(id, at, kept) {
  return {
    id, kept, firstSeq: 0, lastSeq: 0, startSeq: null, endSeq: null, state: "accepted",
    acceptedAt: at, startedAt: null, endedAt: null, peer: null, model: null, position: 0, hasRows: false,
    channels: {}, answers: [], length: 0, isFolded: false, plan: null, records: null, doing: null,
    usage: { input: 0, output: 0, cached: 0, cost: null, isPriced: true, calls: 0 },
  };
}

const isUnstarted = (turn) => turn.state === "accepted" || turn.state === "queued";
