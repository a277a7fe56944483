// Text of a peer as Markdown. While it grows, only its last block is parsed again.
//
// This is the only place where text becomes HTML, and only what DOMPurify has left of it.
import { html } from "htm/preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import DOMPurify from "dompurify";
import { marked } from "marked";
import { copyButton } from "#parts/long_text.js";

const TAGS = [
  "a", "b", "blockquote", "br", "code", "dd", "del", "details", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i",
  "img", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "s", "samp", "small", "span", "strong", "sub", "summary", "sup", "table",
  "tbody", "td", "th", "thead", "tr", "u", "ul", "var",
];
const RULES = {
  ALLOWED_TAGS: TAGS,
  ALLOWED_ATTR: ["align", "alt", "class", "colspan", "dir", "href", "lang", "open", "reversed", "rowspan", "src", "start", "title"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_TRUSTED_TYPE: true,
};
const LINK = /^(https?:|mailto:)/i;
const IMAGE = /^(blob:|data:image\/(png|jpeg|gif|webp);)/i;
const CLASS = /^(language-[\w+#.-]{1,40}|heading-[1-6])$/;
const SLOW = 6; // milliseconds; if parsing took longer, the next time is later

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.hasAttribute("class") && !CLASS.test(node.className)) node.removeAttribute("class");
  if (node.tagName === "A") restrictLink(node);
  else node.removeAttribute("href");
  if (node.tagName === "IMG") restrictImage(node);
  else node.removeAttribute("src");
});

// Tags of HTML without attributes are kept; everything else that looks like HTML is shown as it was written.
const TAG = /^<\/?([a-z][a-z0-9]*)\s*\/?>$/i;
const PLAIN = new Set(TAGS.filter((tag) => !["a", "img"].includes(tag)));
const ESCAPED = { "<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;" };
const escaped = (text) => text.replace(/[<>&"]/g, (mark) => ESCAPED[mark]);
const plain = (text) => (PLAIN.has(TAG.exec(text)?.[1].toLowerCase()) ? text : escaped(text));

marked.use({
  gfm: true,
  renderer: {
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    // all of one level, because what a peer writes may leave levels out
    heading({ tokens, depth }) {
      return `<h2 class="heading-${depth}">${this.parser.parseInline(tokens)}</h2>`;
    },
    html: ({ text }) => text.replace(/<[^<>]*>|[<>&"]/g, plain),
  },
});

// `isGrowing`: more of the text may follow.
export function Markdown({ text, isGrowing = false }) {
  const element = useRef(null);
  const drawn = useRef(null);
  useLayoutEffect(() => {
    drawn.current ??= new Drawn(element.current);
    drawn.current.show(text, isGrowing);
  }, [text, isGrowing]);
  useLayoutEffect(() => () => drawn.current.stop(), []);
  return html`<div class="markdown" dir="auto" ref=${element}></div>`;
}

// What an element shows of a text: the number of characters that are done, and the elements of the rest.
class Drawn {
  constructor(element) {
    Object.assign(this, { element, text: "", done: 0, rest: [], isGrowing: true, pause: 0, timer: null });
  }

  show(text, isGrowing) {
    text = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text; // as the parser counts its characters
    const isMore = isGrowing && this.isGrowing && text.startsWith(this.text);
    Object.assign(this, { text, isGrowing });
    if (!isMore) this.restart();
    if (this.pause && isGrowing) this.timer ??= setTimeout(() => this.draw(), this.pause);
    else this.draw();
  }

  restart() {
    this.element.replaceChildren();
    Object.assign(this, { done: 0, rest: [], pause: 0 });
  }

  draw() {
    this.stop();
    const begun = performance.now();
    for (const node of this.rest) node.remove();
    this.rest = [];
    try {
      this.parse();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.rest = this.addPlain(this.text.slice(this.done)); // it is nested too deeply for the parser
    }
    const took = performance.now() - begun;
    this.pause = took > SLOW ? Math.min(500, took * 4) : 0;
  }

  parse() {
    const tokens = marked.lexer(this.text.slice(this.done));
    const last = this.isGrowing ? tokens.findLastIndex(({ type }) => type !== "space") : 0;
    for (const token of tokens.slice(0, Math.max(0, last))) {
      this.add([token]);
      this.done += token.raw.length;
    }
    this.rest = this.add(tokens.slice(Math.max(0, last)));
  }

  addPlain(text) {
    const block = document.createElement("div");
    block.className = "plain";
    block.textContent = text;
    this.element.append(block);
    return [block];
  }

  add(tokens) {
    const fragment = sanitized(marked.parser(tokens));
    for (const block of fragment.querySelectorAll("pre")) frame(block);
    for (const table of fragment.querySelectorAll("table")) scrollable(table);
    const nodes = [...fragment.childNodes];
    this.element.append(fragment);
    return nodes;
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = null;
  }
}

function sanitized(source) {
  const template = document.createElement("template");
  template.innerHTML = DOMPurify.sanitize(source, RULES);
  return template.content;
}

function restrictLink(link) {
  const target = link.getAttribute("href");
  if (!target || !LINK.test(target)) return link.removeAttribute("href");
  link.setAttribute("target", "_blank");
  link.setAttribute("rel", "noopener noreferrer");
}

// An image of another site would tell it who reads this; a link does so only if the user wants it.
function restrictImage(image) {
  const source = image.getAttribute("src") ?? "";
  if (IMAGE.test(source)) return;
  const link = document.createElement("a");
  link.textContent = image.getAttribute("alt") || source || "image";
  link.setAttribute("href", source);
  restrictLink(link);
  image.replaceWith(link);
}

// A frame around a code block, with its language and a button that copies it.
function frame(block) {
  const code = block.querySelector("code");
  const language = code?.className.replace("language-", "") ?? "";
  const figure = document.createElement("div");
  figure.className = "code";
  const bar = document.createElement("div");
  bar.className = "code-bar";
  const name = document.createElement("span");
  name.textContent = language;
  bar.append(name, copyButton(() => block.textContent));
  block.replaceWith(figure);
  block.tabIndex = 0;
  block.dir = "ltr";
  figure.append(bar, block);
}

// A wide table scrolls inside of the text.
function scrollable(table) {
  const box = document.createElement("div");
  box.className = "table";
  box.tabIndex = 0;
  table.replaceWith(box);
  box.append(table);
}
