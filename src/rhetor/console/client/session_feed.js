// The events of a session from its end, and a session that is open in the page.
import { computed, signal } from "@preact/signals";
import { get, Problem } from "#client/api.js";
import { follow } from "#client/connection.js";
import { Conversation } from "#model/conversation.js";

// The events of a session from its end: first the last ones, then live; earlier ones when they are asked for.

const FIRST = 300; // events that are loaded at first, and each time

export class EventsFeed {
  // `onStart(events)`: the end of the session, before anything else and again after each reset. `onEvents(events)`:
  // new ones. `onReset(answer)`: the position is lost, for example because the session was restored; the end is
  // loaded anew. `onProblem(problem)`: that failed. `types`: the types of events, all if null.
  constructor(id, { types = null, onStart, onEvents, onReset = () => {}, onProblem = () => {} }) {
    Object.assign(this, { id, types, onStart, onEvents, onReset, onProblem });
    this.before = null; // the cursor of the first event that is loaded; null if no earlier one is kept
    this.isOver = false;
    this.loading = null;
    this.stop = () => {};
  }

  get hasEarlier() {
    return this.before !== null;
  }

  // The number of the first event that is loaded.
  get first() {
    return this.before === null ? 0 : Number(this.before.split(":")[1]);
  }

  // Load the end, and follow. Rejects with the problem if there is no such session.
  async start() {
    const page = await this.#page("end", FIRST);
    if (this.isOver) return;
    Object.assign(this, { before: page.before, epoch: page.epoch });
    this.onStart(page.events);
    this.stop = follow(this.id, {
      cursor: page.cursor,
      events: this.types,
      onEvents: (events) => this.onEvents(events),
      onReset: (answer) => this.#lost(answer),
    });
  }

  // Load the events before the first one; none if there are none, or if the position was lost meanwhile.
  earlier(count = FIRST) {
    if (!this.hasEarlier) return Promise.resolve([]);
    this.loading ??= this.#earlier(count).finally(() => (this.loading = null));
    return this.loading;
  }

  // The cursor of the place after the event with this number.
  cursorAfter(seq) {
    return `${this.epoch}:${seq}`;
  }

  // Say that the events before `seq` were dropped, so that they can be loaded again.
  forgetBefore(seq) {
    this.before = `${this.epoch}:${seq}`;
  }

  close() {
    this.isOver = true;
    this.stop();
  }

  async #earlier(count) {
    const { epoch, before } = this;
    const page = await this.#page(before, count);
    if (epoch !== this.epoch || before !== this.before || this.isOver) return [];
    this.before = page.before;
    return page.events;
  }

  #page(before, limit) {
    const query = new URLSearchParams({ before, limit, ...(this.types && { events: this.types.join() }) });
    return get(`/api/v2/sessions/${encodeURIComponent(this.id)}/events?${query}`);
  }

  async #lost(answer) {
    if (this.isOver) return;
    this.onReset(answer);
    try {
      await this.start();
    } catch (problem) {
      if (!this.isOver) this.onProblem(problem instanceof Problem ? problem : new Problem({ detail: String(problem) }));
    }
  }
}

// A session that is open in the page: the session itself, and its events as a conversation. It stays live for
// a while after its view was left, so that going back shows it at once.

const MOST_KEPT = 20; // sessions that stay live
const MOST_ROWS = 3000; // of a conversation that nobody reads further up
const CHANGING = new Set(["session.state", "checkpoint.made", "message.accepted", "turn.completed", "turn.failed", "turn.cancelled", "turn.interrupted"]);
const REFRESH_MILLISECONDS = 300;
const RETRY_MILLISECONDS = 2000;

const feeds = new Map(); // the id or the name in the address → SessionFeed; the least recently opened first

// Return the feed of a session, which is live from now on.
export function openFeed(id) {
  const feed = feeds.get(id) ?? new SessionFeed(id);
  feeds.delete(id);
  feeds.set(id, feed);
  for (const [oldest, one] of feeds) {
    if (feeds.size <= MOST_KEPT) break;
    one.close();
    feeds.delete(oldest);
  }
  return feed;
}

class SessionFeed {
  constructor(address) {
    this.address = address;
    this.session = signal(null); // as REST returns it; null until it is loaded
    this.conversation = new Conversation();
    this.revision = signal(0); // grows with every change of the conversation
    this.problem = signal(null);
    this.isLoaded = signal(false);
    this.isLoadingEarlier = signal(false);
    this.restarts = signal(0); // how often the position was lost
    this.isRead = false; // whether a view shows more than the end; then nothing is dropped
    this.events = null;
    this.timer = null;
    this.loading = null;
    this.begin();
  }

  // What the parts need that act on the session. It is another object if, and only if, one of them has changed.
  state = computed(() => {
    this.revision.value;
    const { running, queued, pending } = this.conversation;
    const now = { running, state: running?.state, queued, pending };
    const key = [running?.id, running?.state, queued.map(({ id }) => id), pending.map(({ request_id: id }) => id)].join();
    if (key !== this.last?.key) this.last = { key, now };
    return this.last.now;
  });

  get hasEarlier() {
    return this.events?.hasEarlier ?? false;
  }

  async begin() {
    this.problem.value = null;
    try {
      this.session.value = await get(this.#path);
      this.events = new EventsFeed(this.session.value.id, {
        onStart: (events) => this.#start(events),
        onEvents: (events) => this.#take(events),
        onReset: () => (this.restarts.value += 1),
        onProblem: (problem) => this.#fail(problem),
      });
      await this.events.start();
    } catch (problem) {
      this.#fail(problem);
    }
  }

  // Load earlier events; returns whether there were any.
  loadEarlier(count) {
    this.loading ??= this.#loadEarlier(count).finally(() => (this.loading = null));
    return this.loading;
  }

  async #loadEarlier(count) {
    if (!this.hasEarlier) return false;
    this.isLoadingEarlier.value = true;
    try {
      const events = await this.events.earlier(count);
      if (events.length) this.conversation.prepend(events);
      this.revision.value += 1;
      return events.length > 0;
    } finally {
      this.isLoadingEarlier.value = false;
    }
  }

  // Load until the event with this number is there; it may be gone.
  async loadUntil(seq) {
    while (this.hasEarlier && this.events.first > seq) {
      if (!(await this.loadEarlier(1000))) return;
    }
  }

  // Load until the beginning of the turn is there. Returns its first row; undefined if it is gone.
  async loadTurn(id) {
    const isThere = () => this.conversation.turns.get(id)?.kept === null;
    while (!isThere() && (await this.loadEarlier(1000)));
    return this.conversation.rows.find(({ turn }) => turn?.id === id);
  }

  // Read the session again, for example because an action has changed it.
  refresh = async () => {
    const found = await get(this.#path).catch(() => null);
    if (found) this.session.value = found;
  };

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.retry);
    this.events?.close();
  }

  #start(events) {
    this.conversation = new Conversation();
    for (const event of events) this.conversation.add(event);
    this.isLoaded.value = true;
    this.revision.value += 1;
    if (this.restarts.value) this.refresh();
  }

  #take(events) {
    for (const event of events) {
      this.conversation.add(event);
      if (CHANGING.has(event.type)) this.#refreshSoon();
    }
    if (!this.isRead && this.conversation.rows.length > MOST_ROWS * 1.2) this.#trim();
    this.revision.value += 1;
  }

  #trim() {
    const first = this.conversation.trim(MOST_ROWS);
    if (first !== null) this.events.forgetBefore(first);
  }

  #refreshSoon() {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.refresh();
    }, REFRESH_MILLISECONDS);
  }

  #fail(problem) {
    this.problem.value = problem;
    this.events?.close();
    if (problem.retryable) this.retry = setTimeout(() => this.begin(), RETRY_MILLISECONDS);
    else if (feeds.get(this.address) === this) feeds.delete(this.address); // so that it is tried anew
  }

  get #path() {
    return `/api/v2/sessions/${encodeURIComponent(this.session.peek()?.id ?? this.address)}?messages=0`;
  }
}
