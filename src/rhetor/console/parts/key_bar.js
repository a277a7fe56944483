// Keys that the keyboard of a phone does not have. Control holds for the next key.
import { html } from "htm/preact";

const KEYS = [
  ["Escape", "Esc", "Esc"],
  ["Tab", "Tab", "Tab"],
  ["ArrowLeft", "←", "Left"],
  ["ArrowUp", "↑", "Up"],
  ["ArrowDown", "↓", "Down"],
  ["ArrowRight", "→", "Right"],
  ["PageUp", "PgUp", "PgUp, page up"],
  ["PageDown", "PgDn", "PgDn, page down"],
];

// `isHeld`: whether Control holds. `onKey(name)` is called for a key, `onHold()` for Control.
export function KeyBar({ isHeld, isDisabled, onKey, onHold }) {
  const keep = (event) => event.preventDefault(); // the focus, so that the keyboard of the phone stays
  return html`
    <div class="key-bar" role="group" aria-label="Keys" onMouseDown=${keep} onPointerDown=${keep}>
      <button type="button" aria-label="Ctrl, for the next key" aria-pressed=${isHeld} disabled=${isDisabled} onClick=${onHold}>Ctrl</button>
      ${KEYS.map(
        ([key, text, name]) => html`
          <button key=${key} type="button" aria-label=${name} disabled=${isDisabled} onClick=${() => onKey(key)}>${text}</button>
        `,
      )}
    </div>
  `;
}
