// A session as a conversation.
import { html } from "htm/preact";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useKeys } from "#app/keys.js";
import { openFeed } from "#client/session_feed.js";
import { isMine } from "#model/hub.js";
import { ForkDialog } from "#parts/checkpoints.js";
import { Status } from "#parts/loaded.js";
import { MessageBox } from "#parts/message_box.js";
import { notify, notifyProblem } from "#parts/notices.js";
import { SessionActions } from "#parts/session_actions.js";
import { SessionSearch } from "#parts/session_search.js";
import { Row, TurnBar } from "#parts/turn.js";
import { VirtualList } from "#parts/virtual_list.js";

// A session: its turns as a conversation, live, with what can be done in it.

const HEIGHTS = { message: 90, answer: 120, end: 34, tool: 34, reasoning: 34, note: 34, plan: 140, permission: 34 }; // pixels, roughly
const FOLDED = new Set(["tool", "reasoning", "context", "records", "raw"]);
const CHARACTERS_PER_LINE = 90;

export default function Session({ params, query }) {
  const feed = useMemo(() => openFeed(params.id), [params.id]);
  useEffect(() => () => (feed.isRead = false), [feed]);
  useEffect(() => {
    if (feed.restarts.value) notify("The session was put back or its log was shortened. It is shown anew.");
  }, [feed.restarts.value]);
  const session = feed.session.value;
  const problem = feed.problem.value;
  if (!session) return problem ? html`<${Missing} problem=${problem} feed=${feed} />` : html`<p class="loading" role="status">Loading…</p>`;
  return html`
    <div class="session">
      <${SessionHead} session=${session} feed=${feed} />
      ${problem && html`<p class="problem" role="alert">${problem.message} ${problem.hint}</p>`}
      <${Conversation} feed=${feed} session=${session} turn=${query.get("turn")} />
      <${TurnBar} feed=${feed} />
      <${MessageBox} session=${session} conversation=${feed.state.value} />
    </div>
  `;
}

function Missing({ problem, feed }) {
  return html`
    <h1>Session</h1>
    <p class="problem" role="alert">${problem.message}</p>
    ${problem.hint && html`<p class="hint">${problem.hint}</p>`}
    <p><button onClick=${() => feed.begin()}>Try again</button> <a href="/sessions">All sessions</a></p>
  `;
}

function Conversation({ feed, session, turn }) {
  const list = useRef(null);
  const [isAtEnd, setAtEnd] = useState(true);
  const [isSearching, setSearching] = useState(false);
  const [forkAt, setForkAt] = useState(null); // the cursor after the end of a turn
  const revision = feed.revision.value;
  const onToggle = useCallback((row) => {
    row.isOpen = !row.isOpen;
    feed.conversation.touch(row);
    feed.revision.value += 1;
  }, [feed]);
  const canFork = isMine(session);
  const renderRow = useCallback((row) => {
    const onFork = canFork ? ({ seq }) => setForkAt(feed.events.cursorAfter(seq)) : null;
    return html`<${Row} row=${row} version=${row.version} onToggle=${onToggle} onFork=${onFork} />`;
  }, [feed, onToggle, canFork]);
  const onEnd = useCallback((isEnd) => {
    feed.isRead = !isEnd;
    setAtEnd(isEnd);
  }, [feed]);
  const onNearStart = useCallback(() => feed.hasEarlier && feed.loadEarlier().catch(notifyProblem), [feed]);
  const show = useCallback((row) => {
    if (FOLDED.has(row.kind) && !row.isOpen) onToggle(row);
    list.current?.toRow(row);
  }, [onToggle]);
  useKeys({
    "/": { name: "Find in this session", run: () => setSearching(true) },
    End: { name: "Go to the end of the session", run: () => list.current?.toEnd() },
    Home: { name: "Go to the first loaded event", run: () => list.current?.toStart() },
  });
  const isLoaded = feed.isLoaded.value;
  useEffect(() => {
    if (isLoaded && turn) feed.loadTurn(turn).then((row) => (row ? show(row) : notify("This message is no longer kept.")), notifyProblem);
  }, [isLoaded, turn]);
  if (!isLoaded) return html`<p class="list loading" role="status">Loading…</p>`;
  const isEmpty = feed.conversation.rows.length === 0;
  return html`
    <div class="conversation">
      ${feed.isLoadingEarlier.value && html`<p class="earlier" role="status">Loading earlier events…</p>`}
      ${isSearching && html`<${SessionSearch} feed=${feed} show=${show} onClose=${() => (setSearching(false), list.current?.focus())} />`}
      ${isEmpty && html`<p class="empty muted">No messages yet</p>`}
      <${VirtualList} handle=${list} source=${feed.conversation} revision=${revision} label="Conversation" render=${renderRow}
        estimate=${estimate} onNearStart=${onNearStart} onEnd=${onEnd} />
      ${!isAtEnd && html`<button class="to-end" onClick=${() => list.current?.toEnd()}>Latest ↓</button>`}
      ${forkAt && html`<${ForkDialog} session=${session} at=${forkAt} onClose=${() => setForkAt(null)} />`}
    </div>
  `;
}

function estimate(row) {
  const characters = (row.text ?? row.content ?? "").length;
  return (HEIGHTS[row.kind] ?? 34) + Math.min(2000, Math.floor(characters / CHARACTERS_PER_LINE) * 22);
}

// The head of a session: its name, its peer and its state, and the ways to its other views.

function SessionHead({ session, feed }) {
  const path = `/sessions/${encodeURIComponent(session.id)}`;
  return html`
    <header class="session-head">
      <h1 dir="auto">${session.name ?? session.title ?? session.id}</h1>
      <a href="/peers/${encodeURIComponent(session.specialist_id)}" dir="auto">${session.specialist_id}</a>
      ${session.state !== "active" && html`<${Status} status=${session.state} />`}
      <nav class="session-links" aria-label="Views of the session">
        <a href="${path}/timeline">Timeline</a> <a href="${path}/log">Log</a>
      </nav>
      <${SessionActions} session=${session} onChange=${feed.refresh} />
    </header>
  `;
}
