// Files of messages: those of a message that is written, and those of one that was sent.
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { getBlob, upload } from "#client/api.js";
import { change, draftOf } from "#client/outbox.js";
import { decoded, isText, whyNot } from "#model/attachments.js";
import { notifyProblem } from "#parts/notices.js";
import { bytesText } from "#parts/text.js";

// The files of a message that is being written: added by a button, by paste or by drop, and uploaded at once.

const uploads = new Map(); // id of a file → how to end its upload

// Add files to the draft of a session. What cannot be added is said beside them, with what to do.
export async function attach(session, files) {
  change(session, { refused: [] });
  for (const file of files) {
    const problem = whyNot(file, draftOf(session).peek().files, bytesText);
    if (problem) change(session, { refused: [...draftOf(session).peek().refused, problem] });
    else await add(session, file);
  }
}

export const isUploading = ({ files }) => files.some((one) => one.blob_id === null && one.text === null && !one.problem);

export function Attachments({ session, draft: { files, refused } }) {
  return html`
    ${refused.map((problem) => html`<p key=${problem} class="problem" role="alert">${problem}</p>`)}
    ${files.length > 0 && html`<ul class="attachments" aria-label="Attached files">
      ${files.map((file) => html`<${Chosen} key=${file.id} session=${session} file=${file} />`)}
    </ul>`}
  `;
}

export function AttachButton({ session, isDisabled }) {
  const input = useRef(null);
  const onChange = ({ target }) => {
    attach(session, [...target.files]);
    target.value = "";
  };
  return html`
    <button type="button" disabled=${isDisabled} onClick=${() => input.current.click()}>Attach</button>
    <input ref=${input} type="file" multiple hidden aria-label="Files to attach" onChange=${onChange} />
  `;
}

function Chosen({ session, file }) {
  const remove = () => {
    uploads.get(file.id)?.();
    change(session, { files: draftOf(session).peek().files.filter(({ id }) => id !== file.id) });
    if (file.url) URL.revokeObjectURL(file.url);
  };
  const isDone = file.blob_id || file.text !== null;
  return html`
    <li class="attachment">
      ${file.url && html`<img src=${file.url} alt="" />`}
      <span class="attachment-name" dir="auto">${file.name}</span>
      <span class="muted">${bytesText(file.bytes)}</span>
      ${!isDone && !file.problem && html`<progress aria-label="Upload of ${file.name}" max="1" value=${file.progress}></progress>`}
      ${file.problem && html`<span class="problem" role="alert">${file.problem}</span>`}
      <button type="button" class="close" aria-label="Remove ${file.name}" onClick=${remove}>✕</button>
    </li>
  `;
}

async function add(session, file) {
  const id = crypto.randomUUID();
  const url = file.type.startsWith("image/") ? URL.createObjectURL(file) : null;
  const name = file.name || "pasted file";
  const entry = { id, name, media_type: file.type, bytes: file.size, blob_id: null, text: null, progress: 0, problem: null, url };
  change(session, { files: [...draftOf(session).peek().files, entry] });
  const text = isText(file) ? decoded(await file.arrayBuffer()) : null;
  if (text !== null) update(session, id, { text });
  else await send(session, id, file);
}

async function send(session, id, file) {
  const { promise, abort } = upload(file, (progress) => update(session, id, { progress }));
  uploads.set(id, abort);
  try {
    const { blob_id, media_type } = await promise;
    update(session, id, { blob_id, media_type });
  } catch (problem) {
    const hint = problem.hint ?? (problem.retryable ? "Remove it and attach it again." : "");
    update(session, id, { problem: `${problem.message} ${hint}`.trim() });
  } finally {
    uploads.delete(id);
  }
}

function update(session, id, changes) {
  change(session, { files: draftOf(session).peek().files.map((one) => (one.id === id ? { ...one, ...changes } : one)) });
}

// An image or a file of a message. Its content is read from the hub when it is shown or saved.

const MOST_KEPT = 24; // contents that stay in memory
const SHOWN = /^image\/(png|jpeg|gif|webp)$/;

const urls = new Map(); // blob id → promise of its object URL; the least recently used first

export function Attachment({ part: { type, media_type: mediaType, blob_id: id, bytes, name } }) {
  const isPicture = SHOWN.test(mediaType ?? "");
  return html`
    <figure class="attachment">
      ${isPicture && html`<${Picture} id=${id} name=${name || type || "image"} />`}
      <figcaption>
        <button onClick=${() => save(id, name)}>Save</button> <span dir="auto">${name || type || id}</span>${" "}
        <span class="muted">${mediaType}, ${bytesText(bytes)}</span>
      </figcaption>
    </figure>
  `;
}

function Picture({ id, name }) {
  const [url, setUrl] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    let isShown = true;
    urlOf(id).then(
      (found) => isShown && setUrl(found),
      (error) => isShown && setProblem(error),
    );
    return () => (isShown = false);
  }, [id]);
  if (problem) return html`<p class="problem">${problem.message}</p>`;
  if (!url) return html`<div class="picture loading">Loading…</div>`;
  return html`<a href=${url} target="_blank" rel="noopener"><img class="picture" src=${url} alt=${name} /></a>`;
}

async function save(id, name) {
  try {
    Object.assign(document.createElement("a"), { href: await urlOf(id), download: name || id }).click();
  } catch (problem) {
    notifyProblem(problem);
  }
}

function urlOf(id) {
  const known = urls.get(id) ?? getBlob(`/api/v2/blobs/${encodeURIComponent(id)}`).then(urlOfContent);
  urls.delete(id);
  urls.set(id, known);
  known.catch(() => urls.delete(id));
  for (const [oldest, url] of urls) {
    if (urls.size <= MOST_KEPT) break;
    urls.delete(oldest);
    url.then(URL.revokeObjectURL, () => {});
  }
  return known;
}

// A URL of content has the origin of the console. So only a picture may be a document when it is opened in a tab.
function urlOfContent(content) {
  return URL.createObjectURL(SHOWN.test(content.type) ? content : new Blob([content], { type: "application/octet-stream" }));
}
