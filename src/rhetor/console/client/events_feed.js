// The events of a session from its end: first the last ones, then live; earlier ones when they are asked for.
import { get, Problem } from "#client/api.js";
import { follow } from "#client/connection.js";

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
