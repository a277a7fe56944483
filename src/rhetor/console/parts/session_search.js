// Finds a text in a session: in what is loaded, and through the hub's search in the rest, which it then loads.
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "#client/api.js";
import { placesBefore, rowAt, rowsWith } from "#model/found.js";
import { notifyProblem } from "#parts/notices.js";
import { countText } from "#parts/text.js";

const PAUSE_MILLISECONDS = 200; // after the last key
const LIMIT = 200; // of the hub's hits
const MOST_MARKS = 500;

// `show(row)`: scroll to a row, and open it. `onClose()`.
export function SessionSearch({ feed, show, onClose }) {
  const [text, setText] = useState("");
  const [places, setPlaces] = useState([]); // rows, and numbers of events that are not loaded
  const [current, setCurrent] = useState(-1);
  const [isBusy, setBusy] = useState(false);
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  useEffect(() => {
    if (!text.trim()) return void (setPlaces([]), setCurrent(-1));
    const aborter = new AbortController();
    const timer = setTimeout(async () => {
      const found = await search(feed, text, aborter.signal);
      if (aborter.signal.aborted) return;
      setPlaces(found);
      go(found, found.length - 1);
    }, PAUSE_MILLISECONDS);
    return () => (clearTimeout(timer), aborter.abort());
  }, [text, feed]);
  useMarks(text);

  const go = async (list, index) => {
    setCurrent(index);
    const place = list[index];
    if (place === undefined) return;
    if (typeof place === "object") return show(place);
    setBusy(true);
    await feed.loadUntil(place).catch(notifyProblem);
    setBusy(false);
    const row = rowAt(feed.conversation, place, text);
    if (row) show(row);
  };
  const step = (by) => places.length && go(places, (current + by + places.length) % places.length);
  const onKeyDown = (event) => {
    if (event.key === "Escape") onClose();
    else if (event.key === "Enter") step(event.shiftKey ? 1 : -1);
    else return;
    event.preventDefault();
  };
  const state = !text.trim() ? "" : isBusy ? "Loading…" : places.length ? `${countText(current + 1)} of ${countText(places.length)}` : "Not found";
  return html`
    <form class="session-search" role="search" aria-label="In this session" onSubmit=${(event) => event.preventDefault()}>
      <input type="search" ref=${field} aria-label="Find in this session" placeholder="Find in this session" value=${text}
        onInput=${(event) => setText(event.target.value)} onKeyDown=${onKeyDown} />
      <span class="muted" role="status">${state}</span>
      <button type="button" aria-label="Earlier place" disabled=${!places.length} onClick=${() => step(-1)}>↑</button>
      <button type="button" aria-label="Later place" disabled=${!places.length} onClick=${() => step(1)}>↓</button>
      <button type="button" class="close" aria-label="Close the search" onClick=${onClose}>✕</button>
    </form>
  `;
}

async function search(feed, text, signal) {
  const query = new URLSearchParams({ q: text, session: feed.session.value.id, limit: LIMIT });
  const earlier = feed.hasEarlier ? await get(`/api/v2/search?${query}`, { signal }).catch(() => ({ hits: [] })) : { hits: [] };
  return [...placesBefore(earlier.hits, feed.events.first), ...rowsWith(feed.conversation, text)];
}

// Marks the text wherever it is on the screen, without changing the elements.
function useMarks(text) {
  useEffect(() => {
    if (!globalThis.CSS?.highlights || !text.trim()) return;
    const list = document.querySelector(".list-window");
    let frame = 0;
    const mark = () => {
      frame = 0;
      CSS.highlights.set("found", new Highlight(...rangesOf(list, text.toLowerCase())));
    };
    const observer = new MutationObserver(() => (frame ||= requestAnimationFrame(mark)));
    observer.observe(list, { childList: true, subtree: true, characterData: true });
    mark();
    return () => {
      observer.disconnect();
      cancelAnimationFrame(frame);
      CSS.highlights.delete("found");
    };
  }, [text]);
}

function rangesOf(element, wanted) {
  const ranges = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode() && ranges.length < MOST_MARKS) {
    const content = walker.currentNode.data.toLowerCase();
    for (let at = content.indexOf(wanted); at >= 0; at = content.indexOf(wanted, at + wanted.length)) {
      const range = new Range();
      range.setStart(walker.currentNode, at);
      range.setEnd(walker.currentNode, Math.min(at + wanted.length, walker.currentNode.length));
      ranges.push(range);
    }
  }
  return ranges;
}
