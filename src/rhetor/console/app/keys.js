// Keys: `g` and a letter goes to a view, `?` shows all keys. A view adds its own while it is shown. Keys that
// are typed into a field, or into a terminal, belong to it.
import { html } from "htm/preact";
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { navigate } from "#app/router.js";
import { NAVIGATION } from "#app/routes.js";
import { Dialog } from "#parts/dialog.js";

const SEQUENCE_MILLISECONDS = 1500;

export const isHelpShown = signal(false);
export const shown = signal([]); // the keys of the current view: [{keys, name}]

const bound = new Map(); // "j" → {name, run}
let first = null; // when `g` was pressed

// Bind keys while the component is shown: {key: {name, run}}. A key is `KeyboardEvent.key`, with `Control+`,
// `Alt+` or `Meta+` before it. With one of these, it also works in a field.
export function useKeys(keys, inputs = []) {
  useEffect(() => {
    for (const [key, binding] of Object.entries(keys)) bound.set(key, binding);
    list();
    return () => {
      for (const [key, binding] of Object.entries(keys)) if (bound.get(key) === binding) bound.delete(key);
      list();
    };
  }, inputs);
}

export function start() {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const key = nameOf(event);
    const isTyped = takesText(event.target) && !/^(Control|Alt|Meta)\+/.test(key);
    if (!isTyped && act(key, event)) event.preventDefault();
  });
}

function act(key, event) {
  const isSecond = first !== null && event.timeStamp - first < SEQUENCE_MILLISECONDS;
  first = key === "g" && !isSecond ? event.timeStamp : null;
  const place = isSecond && NAVIGATION.find((one) => one.key === key);
  if (place) navigate(place.path);
  else if (key === "?") isHelpShown.value = true;
  else if (bound.has(key)) bound.get(key).run(event);
  else return false;
  return true;
}

function nameOf(event) {
  const held = ["Control", "Alt", "Meta"].filter((name) => event.getModifierState(name) && name !== event.key);
  return [...held, event.key].join("+");
}

function takesText(element) {
  if (element.tagName === "INPUT") return !/^(checkbox|radio|button|submit|reset|range|color|file)$/.test(element.type);
  return element.isContentEditable || /^(TEXTAREA|SELECT)$/.test(element.tagName);
}

function list() {
  shown.value = [...bound].map(([key, { name }]) => ({ key, name }));
}

// The list of keys, in a dialog.

export function Help() {
  const close = () => (isHelpShown.value = false);
  return html`
    <${Dialog} title="Keys" onClose=${close}>
      <h3>Everywhere</h3>
      <${Keys} list=${[{ key: "?", name: "Show the keys" }, ...NAVIGATION.map(({ key, name }) => ({ key: `g ${key}`, name }))]} />
      ${shown.value.length > 0 && html`<h3>In this view</h3><${Keys} list=${shown.value} />`}
    <//>
  `;
}

function Keys({ list }) {
  return html`
    <dl class="keys">
      ${list.map(({ key, name }) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${name}</dd></div>`)}
    </dl>
  `;
}
