// Requests whose work may take long, such as a restore. They report their progress until they are done.
import { isLoggedOut, Problem } from "#client/api.js";

// POST, and call `onProgress({done, total, unit})` about twice per second; `total` is null if it is not known.
// Returns the result, or throws a Problem.
export async function postLong(path, body, { key, onProgress = () => {} } = {}) {
  const headers = { accept: "text/event-stream", "content-type": "application/json" };
  if (key) headers["idempotency-key"] = key;
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) }).catch(() => {
    throw lost("The hub does not answer.");
  });
  if (!answer.ok) throw await problemOf(answer);
  for await (const frame of frames(answer.body)) {
    if (frame.result) return frame.result;
    if (frame.problem) throw new Problem(frame.problem);
    if (frame.progress) onProgress(frame.progress);
  }
  throw lost("The connection was lost. The hub may still complete the work; look at the session before you try again.");
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

async function problemOf(answer) {
  if (answer.status === 401) isLoggedOut.value = true;
  const data = await answer.json().catch(() => ({}));
  return new Problem({ detail: `The hub answered ${answer.status}.`, ...data, status: answer.status });
}

const lost = (detail) => new Problem({ code: "unreachable", detail, retryable: true });
