// The switches for the sound and the desktop notification of new permission requests.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { hasDesktop, hasSound, setDesktop, setSound } from "#model/alerts.js";

export function AlertSettings() {
  const [problem, setProblem] = useState(null);
  return html`
    <fieldset class="alert-settings">
      <legend>When a request arrives that you do not see</legend>
      <label>
        <input type="checkbox" checked=${hasSound.value} onChange=${(event) => setSound(event.target.checked)} />
        Play a sound
      </label>
      <label>
        <input
          type="checkbox"
          checked=${hasDesktop.value}
          onChange=${async ({ target }) => {
            setProblem(await setDesktop(target.checked));
            target.checked = hasDesktop.value;
          }}
        />
        Show a notification on the desktop
      </label>
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    </fieldset>
  `;
}
