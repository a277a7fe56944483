// Requests to the hub's REST API. A failed one throws a Problem, which has the hub's explanation.
import { signal } from "@preact/signals";

// whether the hub rejects the browser's login; the shell then shows how to log in
export const isLoggedOut = signal(false);

const EVENTS = 1000; // that are read at once for a download

export class Problem extends Error {
  constructor(data) {
    super(data.detail);
    Object.assign(this, { status: 0, code: "failed", retryable: false, hint: null }, data);
  }
}

export const get = (path, options) => request("GET", path, undefined, options);
export const post = (path, body = {}, options) => request("POST", path, body, options);
export const put = (path, body, options) => request("PUT", path, body, options);
export const patch = (path, body, options) => request("PATCH", path, body, options);
export const remove = (path, options) => request("DELETE", path, undefined, options);

// For an answer that is not JSON, such as CSV: `options.headers.accept` says what it is.
export const getText = (path, options) => request("GET", path, undefined, { ...options, read: (answer) => answer.text() });

// `key`: an idempotency key, with which the request may be repeated. `signal`: cancels the request.
export async function request(method, path, body, { key, signal, headers, read } = {}) {
  const sent = { accept: "application/json", ...headers };
  if (key) sent["idempotency-key"] = key;
  const isBinary = body instanceof Blob;
  if (body !== undefined && !isBinary) sent["content-type"] = "application/json";
  const content = body === undefined || isBinary ? body : JSON.stringify(body);
  const answer = await reach(path, { method, headers: sent, body: content, signal });
  if (answer.ok) return answer.status === 204 ? null : read ? read(answer) : answer.json();
  throw await problemOf(answer);
}

// Binary content, as a Blob with its media type.
export async function getBlob(path, { signal } = {}) {
  const answer = await reach(path, { method: "GET", signal });
  if (answer.ok) return answer.blob();
  throw await problemOf(answer);
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable("The hub does not answer.");
  }
}

async function problemOf(answer) {
  return rejection(answer.status, await answer.json().catch(() => ({})));
}

function rejection(status, data) {
  if (status === 401) isLoggedOut.value = true;
  return new Problem({ detail: `The hub answered ${status}.`, ...data, status });
}

const unreachable = (detail) => new Problem({ code: "unreachable", detail, retryable: true });

export const newKey = () => crypto.randomUUID();

// POST what may take long, such as a restore, and call `onProgress({done, total, unit})` about twice per second;
// `total` is null if it is not known. Returns the result, or throws a Problem.
export async function postLong(path, body, { key, onProgress = () => {} } = {}) {
  const headers = { accept: "text/event-stream", "content-type": "application/json" };
  if (key) headers["idempotency-key"] = key;
  const answer = await reach(path, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) throw await problemOf(answer);
  for await (const frame of frames(answer.body)) {
    if (frame.result) return frame.result;
    if (frame.problem) throw new Problem(frame.problem);
    if (frame.progress) onProgress(frame.progress);
  }
  throw unreachable("The connection was lost. The hub may still complete the work; look at the session before you try again.");
}

async function* frames(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += part.value;
      const ended = text.split("\n\n");
      text = ended.pop();
      for (const frame of ended) {
        const data = frame.split("\n").find((line) => line.startsWith("data: "));
        if (data) yield JSON.parse(data.slice(6));
      }
    }
  } catch (error) {
    if (error instanceof SyntaxError) throw error; // otherwise the connection was lost
  }
}

// Upload a file as binary content for a message. Returns {promise, abort}. `onProgress(share)`, from 0 to 1.
export function upload(file, onProgress) {
  const sent = new XMLHttpRequest(); // `fetch` does not say how much was sent
  const promise = new Promise((resolve, reject) => {
    sent.open("POST", `/api/v2/blobs?name=${encodeURIComponent(file.name || "pasted")}`);
    sent.setRequestHeader("content-type", file.type || "application/octet-stream");
    sent.responseType = "json";
    sent.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    sent.onload = () => (sent.status < 300 ? resolve(sent.response) : reject(rejection(sent.status, sent.response)));
    sent.onerror = () => reject(unreachable("The connection was lost during the upload."));
    sent.send(file);
  });
  return { promise, abort: () => sent.abort() };
}

// Save all events of a session as a file, one JSON object in each line. `onProgress(count, head)`: how many are
// read. Stops if `signal` is aborted.
export async function downloadEvents(id, { name, onProgress, signal }) {
  const lines = [];
  let after = null;
  for (;;) {
    const query = new URLSearchParams({ limit: EVENTS, ...(after && { after }) });
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
