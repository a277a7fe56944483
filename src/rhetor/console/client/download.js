// Saves all events of a session as a file, one JSON object in each line.
import { get } from "#client/api.js";

const LIMIT = 1000;

// `onProgress(count, head)`: how many events are read. Stops if `signal` is aborted.
export async function downloadEvents(id, { name, onProgress, signal }) {
  const lines = [];
  let after = null;
  for (;;) {
    const query = new URLSearchParams({ limit: LIMIT, ...(after && { after }) });
    const page = await get(`/api/v2/sessions/${encodeURIComponent(id)}/events?${query}`, { signal });
    if (!page.events.length) break;
    lines.push(...page.events.map((event) => `${JSON.stringify(event)}\n`));
    after = page.cursor;
    onProgress(lines.length, page.head);
  }
  save(new Blob(lines, { type: "application/jsonl" }), `${name}.jsonl`);
}

function save(blob, name) {
  const href = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}
