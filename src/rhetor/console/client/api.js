// Requests to the hub's REST API. A failed one throws a Problem, which has the hub's explanation.
import { signal } from "@preact/signals";

// whether the hub rejects the browser's login; the shell then shows how to log in
export const isLoggedOut = signal(false);

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
    throw new Problem({ code: "unreachable", detail: "The hub does not answer.", retryable: true });
  }
}

async function problemOf(answer) {
  if (answer.status === 401) isLoggedOut.value = true;
  const data = await answer.json().catch(() => ({}));
  return new Problem({ detail: `The hub answered ${answer.status}.`, ...data, status: answer.status });
}

export const newKey = () => crypto.randomUUID();
