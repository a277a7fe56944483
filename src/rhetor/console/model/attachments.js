// Files of a message: which may be attached, and the parts that a message has for them. No DOM.

export const MOST_FILES = 20;
export const MOST_BYTES = 16 * 1024 * 1024; // of all files of a message
const MOST_TEXT = 512 * 1024; // of a text file, which becomes a part of the text

// Why this file cannot be added to the others; null if it can.
export function whyNot(file, others, bytesText) {
  if (file.size === 0) return `${file.name || "The file"} is empty.`;
  if (others.length >= MOST_FILES) return `A message can have ${MOST_FILES} files. Send the others with the next message.`;
  const total = others.reduce((sum, { bytes }) => sum + bytes, 0);
  if (file.size > MOST_BYTES) return `${file.name} has ${bytesText(file.size)}; a file can have ${bytesText(MOST_BYTES)}. Make it smaller, or give its path to an agent.`;
  if (total + file.size > MOST_BYTES) return `All files of a message can have ${bytesText(MOST_BYTES)} together. Send ${file.name} with the next message.`;
  return null;
}

// Whether a file is sent as text that follows the message. Images, PDF and audio are never text.
export function isText({ type, size }) {
  return size <= MOST_TEXT && !/^(image|audio|video)\/|pdf|zip|octet-stream/.test(type);
}

// The text of a file; null if it is not text in UTF-8.
export function decoded(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}

// The parts of a message, as the hub takes them. `mark()` returns random text for the fences of text files,
// which no file can forge.
export function partsOf(files, mark) {
  return files.map((file) => {
    if (file.text != null) return { type: "text", text: fenced(file, mark()) };
    const kind = /^(image|audio)\//.exec(file.media_type)?.[1] ?? "file";
    return { type: kind, blob_id: file.blob_id, media_type: file.media_type, name: file.name };
  });
}

function fenced({ name, text }, mark) {
  const fence = `--- ${mark} ---`;
  const onOneLine = name.replace(/\p{C}/gu, "?");
  return `[File ${onOneLine}]\n${fence}\n${text.replace(/\n$/, "")}\n${fence}`;
}
