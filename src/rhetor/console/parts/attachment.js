// An image or a file of a message. Its content is read from the hub when it is shown or saved.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { getBlob } from "#client/api.js";
import { notifyProblem } from "#parts/notices.js";
import { bytesText } from "#parts/text.js";

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
