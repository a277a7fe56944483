// What the user has typed and attached, for each session, until the hub has accepted it. It is kept in the tab
// when the page is loaded again.
import { signal } from "@preact/signals";

const PREFIX = "draft:";
const drafts = new Map(); // session id → signal of a draft

export const EMPTY = { text: "", files: [], model: null, refused: [] };

// The signal of a session's draft. `refused`: why files were not added. `files`: [{id, name, media_type, bytes, blob_id, text, progress, problem, url}].
export function draftOf(session) {
  if (!drafts.has(session)) drafts.set(session, signal(read(session)));
  return drafts.get(session);
}

export function change(session, changes) {
  const draft = draftOf(session);
  draft.value = { ...draft.peek(), ...changes };
  write(session, draft.peek());
}

// Put a message that was not accepted before what was typed meanwhile.
export function putBack(session, { text, files, model }) {
  const now = draftOf(session).peek();
  change(session, { text: [text, now.text].filter(Boolean).join("\n\n"), files: [...files, ...now.files], model: now.model ?? model });
}

export const isEmpty = ({ text, files }) => text.trim() === "" && files.length === 0;

function read(session) {
  try {
    return { ...EMPTY, ...JSON.parse(sessionStorage.getItem(PREFIX + session)), refused: [] };
  } catch {
    return EMPTY;
  }
}

// An upload that is not complete cannot be continued, and a preview is gone with the page.
function write(session, draft) {
  const files = draft.files.filter((one) => one.blob_id || one.text != null).map(({ url, ...one }) => one);
  const text = isEmpty({ ...draft, files }) ? null : JSON.stringify({ ...draft, files });
  try {
    if (text) sessionStorage.setItem(PREFIX + session, text);
    else sessionStorage.removeItem(PREFIX + session);
  } catch {
    // the tab has no more room; the draft is still in the page
  }
}
