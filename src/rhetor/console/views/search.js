// Search over all messages; without words, the last messages. The address has what is looked for.
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useKeys } from "#app/keys.js";
import { navigate } from "#app/router.js";
import { get } from "#client/api.js";
import { beginningOf, grouped, parametersOf, partsOf, pathOf, SINCE } from "#model/found.js";
import { peers } from "#model/hub.js";
import { timeText } from "#parts/text.js";

const PAUSE_MILLISECONDS = 250; // after a key, before the search begins
const FILTERS = ["peer", "session", "model", "since", "group"];
const PAGE = 30;
const MOST = 1000; // what the hub returns at once

export default function Search({ query }) {
  const field = useRef(null);
  const list = useRef(null);
  const sent = parametersOf(query, Date.now());
  const [found, more] = useFound(sent, query.toString());
  const move = (by) => moveFocus(list.current, field.current, by);
  useKeys({
    "/": { name: "Go to the search field", run: () => field.current.focus() },
    j: { name: "Next result", run: () => move(1) },
    k: { name: "Previous result", run: () => move(-1) },
  });
  const onKey = (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by && event.target.tagName !== "SELECT") (event.preventDefault(), move(by));
  };
  return html`
    <h1>Search</h1>
    <div onKeyDown=${onKey}>
      <${Form} query=${query} field=${field} />
      <p class="muted" role="status">${countText(found)}</p>
      ${found.problem && html`<p class="problem" role="alert">${found.problem.message} ${found.problem.hint}</p>`}
      <div ref=${list}>
        ${found.isSearch ? html`<${Hits} hits=${found.items} isGrouped=${query.get("group") === "session"} />` : html`<${History} items=${found.items} />`}
      </div>
      ${found.hasMore && html`<p><button type="button" disabled=${found.isLoading} onClick=${more}>${found.isLoading ? "Loading…" : "Show more"}</button></p>`}
    </div>
  `;
}

function Form({ query, field }) {
  const [text, setText] = useState(query.get("q") ?? "");
  const timer = useRef(null);
  const shown = useRef(text);
  useEffect(() => {
    const q = query.get("q") ?? "";
    if (q !== shown.current) setText((shown.current = q)); // the user went back in the history
  }, [query.get("q")]);
  useEffect(() => {
    field.current.focus();
    return () => clearTimeout(timer.current);
  }, []);
  const look = (value) => {
    clearTimeout(timer.current);
    shown.current = value;
    change(query, { q: value });
  };
  const type = (event) => {
    const { value } = event.target;
    setText(value);
    clearTimeout(timer.current);
    timer.current = setTimeout(look, PAUSE_MILLISECONDS, value);
  };
  const submit = (event) => (event.preventDefault(), look(text));
  return html`
    <form class="search" role="search" onSubmit=${submit}>
      <input ref=${field} type="search" aria-label="Words" placeholder="All messages that contain these words" maxlength="1000" value=${text} onInput=${type} dir="auto" autocomplete="off" />
      <${Filters} query=${query} />
    </form>
  `;
}

function Filters({ query }) {
  const set = (name) => (event) => change(query, { [name]: event.target.value });
  const isOpen = matchMedia("(min-width: 701px)").matches || FILTERS.some((name) => query.has(name));
  return html`
    <details class="filters" open=${isOpen}>
      <summary>Filters</summary>
      <div>
        <label>Peer
          <select value=${query.get("peer") ?? ""} onChange=${set("peer")}>
            <option value="">all</option>
            ${peerNames(query.get("peer")).map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
          </select>
        </label>
        <label>Session <input value=${query.get("session") ?? ""} placeholder="name or id" onChange=${set("session")} dir="auto" /></label>
        <label>Model <input value=${query.get("model") ?? ""} placeholder="all" onChange=${set("model")} /></label>
        <label>Since
          <select value=${query.get("since") ?? ""} onChange=${set("since")}>
            ${SINCE.map(([key, name]) => html`<option key=${key} value=${key}>${name}</option>`)}
          </select>
        </label>
        <label>Order
          <select value=${query.get("group") ?? ""} onChange=${set("group")}>
            <option value="">best first</option>
            <option value="session">by session</option>
          </select>
        </label>
      </div>
    </details>
  `;
}

// A peer that no longer exists may still have messages.
function peerNames(chosen) {
  const names = peers.value.filter(({ websocket_supported: takes }) => takes).map(({ id }) => id);
  return chosen && !names.includes(chosen) ? [chosen, ...names] : names;
}

function change(query, values) {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(values)) value ? next.set(name, value) : next.delete(name);
  navigate(`/search${next.size ? `?${next}` : ""}`, { replace: true });
}

function Hits({ hits, isGrouped }) {
  if (!isGrouped) return html`<ol class="found">${hits.map((hit) => html`<${Hit} key=${hit.cursor + hit.stream} hit=${hit} />`)}</ol>`;
  return grouped(hits).map(
    ({ stream, hits: own }) => html`
      <section key=${stream} aria-label=${own[0].session_name ?? stream}>
        <h2><a href=${pathOf({ stream })} dir="auto">${own[0].session_name ?? stream}</a></h2>
        <ol class="found">${own.map((hit) => html`<${Hit} key=${hit.cursor} hit=${hit} />`)}</ol>
      </section>
    `,
  );
}

function Hit({ hit }) {
  const who = hit.role === "user" ? `to ${hit.ai}` : hit.ai;
  return html`
    <li>
      <a href=${pathOf(hit)}>
        <span class="where"><b dir="auto">${who}</b> <${Session} of=${hit} /> <time datetime=${hit.at}>${timeText(hit.at)}</time></span>
        <span class="excerpt" dir="auto">${partsOf(hit.excerpt, hit.highlights).map(({ text, isMarked }) => (isMarked ? html`<mark>${text}</mark>` : text))}</span>
      </a>
    </li>
  `;
}

function Session({ of: { session_name: name } }) {
  return name && html`<span dir="auto">in ${name}</span>`;
}

function History({ items }) {
  return html`
    <ol class="found">
      ${items.map(
        (one) => html`
          <li key=${one.turn_id}>
            <a href=${pathOf(one)}>
              <span class="where"><b dir="auto">${one.ai}</b> <${Session} of=${one} /> <time datetime=${one.at}>${timeText(one.at)}</time> ${one.model}</span>
              <span class="excerpt asked" dir="auto">${beginningOf(one.message)}</span>
              <span class="excerpt" dir="auto">${beginningOf(one.response)}</span>
            </a>
          </li>
        `,
      )}
    </ol>
  `;
}

// What is found, and a function that loads more. The last result stays until the next one is there.
function useFound(sent, key) {
  const [found, setFound] = useState({ items: [], isSearch: false, hasMore: false, isLoading: true, problem: null });
  const [limit, setLimit] = useState(PAGE);
  const stop = useRef(null);
  const load = async (read) => {
    stop.current?.abort();
    stop.current = new AbortController();
    setFound((before) => ({ ...before, isLoading: true }));
    try {
      setFound({ ...(await read({ signal: stop.current.signal })), isLoading: false, problem: null });
    } catch (problem) {
      if (problem.name !== "AbortError") setFound({ items: [], isSearch: false, hasMore: false, isLoading: false, problem });
    }
  };
  useEffect(() => {
    setLimit(PAGE);
    load((options) => read(sent, PAGE, [], options));
    return () => stop.current?.abort();
  }, [key]);
  const more = () => {
    setLimit(limit + PAGE);
    load((options) => read(sent, limit + PAGE, found.items, options));
  };
  return [found, more];
}

// Hits are read from the first one again, because their order may change; history continues after the last one.
async function read(sent, limit, known, options) {
  if (sent.has("q")) {
    const { hits } = await get(`/api/v2/search?${sent}&limit=${Math.min(limit, MOST)}`, options);
    return { items: hits, isSearch: true, hasMore: hits.length === limit && limit < MOST };
  }
  const before = known.length ? `&before=${encodeURIComponent(known.at(-1).turn_id)}` : "";
  const { history } = await get(`/api/v2/history?${sent}&limit=${PAGE}${before}`, options);
  return { items: [...known, ...history], isSearch: false, hasMore: history.length === PAGE };
}

function countText({ items, isSearch, hasMore, isLoading, problem }) {
  if (problem) return "";
  if (isLoading && items.length === 0) return "Searching…";
  if (!isSearch) return items.length ? "The last messages" : "No message matches.";
  const count = hasMore ? `The best ${items.length}` : items.length || "No";
  return `${count} ${items.length === 1 ? "message contains" : "messages contain"} all the words.`;
}

function moveFocus(list, field, by) {
  const links = [...list.querySelectorAll(".found a")];
  const next = links.indexOf(document.activeElement) + by;
  if (next < 0) field.focus();
  else links[Math.min(next, links.length - 1)]?.focus();
}
