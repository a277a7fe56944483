// The events of a session, as they are in the log.
import { html } from "htm/preact";
import { signal } from "@preact/signals";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useKeys } from "#app/keys.js";
import { downloadEvents, get } from "#client/api.js";
import { EventsFeed } from "#client/session_feed.js";
import { Copy } from "#parts/long_text.js";
import { notify, notifyProblem } from "#parts/notices.js";
import { countText } from "#parts/text.js";
import { VirtualList } from "#parts/virtual_list.js";

// The log of a session: its events as they are, live.

const HEIGHT = 26; // pixels, of a closed row
const MOST_ROWS = 5000; // that stay while nobody reads further up
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
// groups of types, as the filter of the API has them
const TYPES = {
  "All types": null,
  "Messages and turns": ["message.*", "turn.*", "quota.*"],
  Output: ["output.*", "reasoning.*", "folded", "blob.*"],
  "Tools and permissions": ["tool.*", "permission.*"],
  "Records and plans of agents": ["agent.*"],
  "Usage and limits": ["usage.*", "budget.*", "quota.*"],
  Checkpoints: ["checkpoint.*"],
  "Forwards and context": ["message.forwarded", "forward.*", "context.*"],
  "Session and peer": ["session.*", "peer.*", "schedule.*"],
};

class LogFeed {
  constructor(id, types) {
    this.log = new EventLog();
    this.revision = signal(0);
    this.problem = signal(null);
    this.isLoaded = signal(false);
    this.isLoading = signal(false);
    this.isRead = false;
    this.events = new EventsFeed(id, {
      types,
      onStart: (events) => this.#start(events),
      onEvents: (events) => this.#take(events),
      onReset: () => notify("The position in the log was lost, for example because the session was restored. Its end is shown anew."),
      onProblem: (problem) => (this.problem.value = problem),
    });
    this.events.start().catch((problem) => (this.problem.value = problem));
  }

  // Load earlier events, until there are some or none is left.
  earlier = async (until = Infinity) => {
    if (this.isLoading.value) return;
    this.isLoading.value = true;
    try {
      let isMore = true;
      while (isMore && this.events.hasEarlier) {
        const events = await this.events.earlier(1000);
        this.log.prepend(events);
        this.revision.value += 1;
        isMore = until === Infinity ? !events.length : this.events.first > until;
      }
    } catch (problem) {
      notifyProblem(problem);
    } finally {
      this.isLoading.value = false;
    }
  };

  close() {
    this.events.close();
  }

  #start(events) {
    this.log = new EventLog();
    this.log.add(events);
    this.isLoaded.value = true;
    this.revision.value += 1;
  }

  #take(events) {
    this.log.add(events);
    const first = this.isRead ? null : this.log.trim(MOST_ROWS);
    if (first !== null) this.events.forgetBefore(first);
    this.revision.value += 1;
  }
}

export default function Log({ params, query }) {
  const [session, setSession] = useState(null);
  const [problem, setProblem] = useState(null);
  const [types, setTypes] = useState("All types");
  useEffect(() => {
    get(`/api/v2/sessions/${encodeURIComponent(params.id)}?messages=0`).then(setSession, setProblem);
  }, [params.id]);
  if (problem) return html`<h1>Log</h1><p class="problem" role="alert">${problem.message}</p><p><a href="/sessions">All sessions</a></p>`;
  if (!session) return html`<p class="loading" role="status">Loading…</p>`;
  return html`
    <div class="session log">
      <header class="session-head">
        <h1 dir="auto">Log of ${session.name ?? session.id}</h1>
        <a href="/sessions/${encodeURIComponent(session.id)}">Conversation</a>
        <label>Show <select value=${types} onChange=${(event) => setTypes(event.target.value)}>${Object.keys(TYPES).map((name) => html`<option key=${name}>${name}</option>`)}</select></label>
        <${Download} session=${session} />
      </header>
      <${Events} key=${types} id=${session.id} types=${TYPES[types]} at=${Number(query.get("seq")) || null} />
    </div>
  `;
}

function Events({ id, types, at }) {
  const feed = useMemo(() => new LogFeed(id, types), []);
  useEffect(() => () => feed.close(), [feed]);
  const list = useRef(null);
  const [isAtEnd, setAtEnd] = useState(true);
  const onToggle = useCallback((row) => {
    row.isOpen = !row.isOpen;
    row.version += 1;
    feed.revision.value += 1;
  }, [feed]);
  const render = useCallback((row) => html`<${EventRow} row=${row} onToggle=${onToggle} />`, [onToggle]);
  const onEnd = useCallback((isEnd) => {
    feed.isRead = !isEnd;
    setAtEnd(isEnd);
  }, [feed]);
  const jump = useCallback(async (seq) => {
    if (feed.events.first > seq) await feed.earlier(seq);
    const row = feed.log.at(seq);
    if (!row) return notify(`There is no event ${seq} yet.`);
    if (!row.isOpen) onToggle(row);
    list.current?.toRow(row);
  }, [feed]);
  useKeys({
    End: { name: "Go to the end of the log", run: () => list.current?.toEnd() },
    Home: { name: "Go to the first loaded event", run: () => list.current?.toStart() },
  });
  const revision = feed.revision.value;
  const isLoaded = feed.isLoaded.value;
  useEffect(() => void (isLoaded && at && jump(at)), [isLoaded, at]);
  if (feed.problem.value) return html`<p class="problem" role="alert">${feed.problem.value.message}</p>`;
  if (!isLoaded) return html`<p class="list loading" role="status">Loading…</p>`;
  return html`
    <div class="conversation">
      ${feed.isLoading.value && html`<p class="earlier" role="status">Loading earlier events…</p>`}
      ${!feed.log.rows.length && html`<p class="empty muted">No such events</p>`}
      <${VirtualList} handle=${list} source=${feed.log} revision=${revision} label="Events" render=${render}
        estimate=${() => HEIGHT} onNearStart=${() => feed.events.hasEarlier && feed.earlier()} onEnd=${onEnd} />
      ${!isAtEnd && html`<button class="to-end" onClick=${() => list.current?.toEnd()}>Latest ↓</button>`}
    </div>
    <${Jump} onJump=${jump} />
  `;
}

function EventRow({ row, onToggle }) {
  const { event, isOpen } = row;
  return html`
    <button class="event" aria-expanded=${isOpen === true} onClick=${() => onToggle(row)}>
      <span class="event-seq">${event.seq}</span> <time datetime=${event.at}>${clock.format(new Date(event.at))}</time>
      <span class="event-type">${event.type}</span> <span class="event-data" dir="auto">${!isOpen && lineOf(event)}</span>
    </button>
    ${isOpen && html`<div class="event-whole"><${Copy} text=${() => JSON.stringify(event, null, 2)} /><pre class="long" tabindex="0" dir="ltr" aria-label="Event ${event.seq}">${JSON.stringify(event, null, 2)}</pre></div>`}
  `;
}

function Jump({ onJump }) {
  const [seq, setSeq] = useState("");
  const submit = (event) => {
    event.preventDefault();
    onJump(Number(seq));
  };
  return html`
    <form class="jump" onSubmit=${submit}>
      <label>Number of an event <input type="number" min="1" required value=${seq} onInput=${(event) => setSeq(event.target.value)} /></label>
      <button>Go to it</button>
    </form>
  `;
}

function Download({ session }) {
  const [progress, setProgress] = useState(null);
  const stop = useRef(null);
  useEffect(() => () => stop.current?.abort(), []);
  const run = async () => {
    stop.current = new AbortController();
    setProgress(0);
    try {
      const onProgress = (count) => setProgress(count);
      await downloadEvents(session.id, { name: session.name ?? session.id, onProgress, signal: stop.current.signal });
    } catch (problem) {
      notifyProblem(problem);
    } finally {
      setProgress(null);
    }
  };
  return html`<button class="session-links" disabled=${progress !== null} onClick=${run}>${progress === null ? "Download as JSONL" : `${countText(progress)} events…`}</button>`;
}

// The events of a session as rows of a list, without any meaning that they have.

const MOST_CHARACTERS = 300; // of the data in one line

class EventLog {
  constructor() {
    this.rows = [];
    this.changedFrom = 0;
  }

  add(events) {
    for (const event of events) this.rows.push(rowOf(event));
    this.changedFrom = Math.min(this.changedFrom, this.rows.length - events.length);
  }

  prepend(events) {
    const first = this.rows[0]?.seq ?? Infinity;
    this.rows = events.filter(({ seq }) => seq < first).map(rowOf).concat(this.rows);
    this.changedFrom = 0;
  }

  // Forget the oldest rows beyond `most`. Returns the number of the first one that is left, or null.
  trim(most) {
    if (this.rows.length <= most * 1.2) return null;
    this.rows = this.rows.slice(-most);
    this.changedFrom = 0;
    return this.rows[0].seq;
  }

  // The row with this number, or the next one after it.
  at(seq) {
    let [low, high] = [0, this.rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle].seq < seq) low = middle + 1;
      else high = middle;
    }
    return this.rows[low];
  }
}

function rowOf(event) {
  return { key: event.seq, kind: "event", seq: event.seq, version: 0, event };
}

// The data of an event in one line.
function lineOf({ data }) {
  const text = JSON.stringify(data);
  return text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text;
}
