// Uploads a file as binary content for a message, and says how far it is.
import { isLoggedOut, Problem } from "#client/api.js";

// Returns {promise, abort}. `onProgress(share)`, from 0 to 1.
export function upload(file, onProgress) {
  const sent = new XMLHttpRequest(); // `fetch` does not say how much was sent
  const promise = new Promise((resolve, reject) => {
    sent.open("POST", `/api/v2/blobs?name=${encodeURIComponent(file.name || "pasted")}`);
    sent.setRequestHeader("content-type", file.type || "application/octet-stream");
    sent.responseType = "json";
    sent.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    sent.onload = () => (sent.status < 300 ? resolve(sent.response) : reject(problemOf(sent)));
    sent.onerror = () => reject(new Problem({ code: "unreachable", detail: "The connection was lost during the upload.", retryable: true }));
    sent.send(file);
  });
  return { promise, abort: () => sent.abort() };
}

function problemOf({ status, response }) {
  if (status === 401) isLoggedOut.value = true;
  return new Problem({ detail: `The hub answered ${status}.`, ...response, status });
}
