// The list of keys, in a dialog.
import { html } from "htm/preact";
import { Dialog } from "#parts/dialog.js";
import { isHelpShown, shown } from "#app/keys.js";
import { NAVIGATION } from "#app/routes.js";

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
