// What the session does now, for how long, and what it has used.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { summaryOf } from "#model/tools.js";
import { secondsText } from "#parts/text.js";
import { Figures } from "#parts/turn.js";

export function TurnBar({ feed }) {
  feed.revision.value;
  const { running, queued } = feed.conversation;
  return html`
    <div class="turn-bar" role="group" aria-label="What the session does now">
      ${running ? html`<${Running} turn=${running} />` : html`<span class="muted">${queued.length ? "Waiting to start" : "Idle"}</span>`}
    </div>
  `;
}

function Running({ turn }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(0, (now - Date.parse(turn.startedAt ?? turn.acceptedAt)) / 1000);
  return html`
    <span class="status status-${turn.state === "waiting" ? "waiting" : "busy"}" dir="auto">${doingText(turn)}</span>
    <span class="turn-time">${seconds < 10 ? `${Math.floor(seconds)} s` : secondsText(seconds)}</span>
    <${Figures} row=${turn} />
  `;
}

function doingText({ state, peer, doing }) {
  if (state === "waiting") return `${peer} waits for an answer`;
  if (doing?.kind === "tool") return `${peer}: ${doing.name} ${summaryOf(doing.arguments).slice(0, 80)}`;
  if (doing?.kind === "reasoning") return `${peer} is thinking`;
  if (doing?.kind === "answer") return `${peer} is writing`;
  return `${peer} is working`;
}
