// What only this browser keeps: colors, alerts and how terminals are shown.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { loadStyles } from "#app/styles.js";
import { AlertSettings } from "#parts/alert_settings.js";

await loadStyles("#styles/permission.css");

const THEMES = [["auto", "As the system"], ["light", "Light"], ["dark", "Dark"]];

export default function ThisBrowser() {
  const [theme, setTheme] = useState(localStorage.getItem("theme") ?? "auto");
  const choose = (value) => {
    setTheme(value);
    if (value === "auto") {
      localStorage.removeItem("theme");
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem("theme", value);
      document.documentElement.dataset.theme = value;
    }
  };
  return html`
    <fieldset>
      <legend>Colors</legend>
      ${THEMES.map(([value, name]) => html`<label key=${value}><input type="radio" name="theme" checked=${theme === value} onChange=${() => choose(value)} /> ${name}</label>`)}
    </fieldset>
    <${AlertSettings} />
    <${Terminals} />
  `;
}

function Terminals() {
  const [options, setOptions] = useState(kept);
  const change = (changed) => {
    const next = { ...options, ...changed };
    setOptions(next);
    localStorage.setItem("terminal", JSON.stringify(next));
  };
  return html`
    <fieldset>
      <legend>Terminals</legend>
      <label><input type="checkbox" checked=${options.screenReaderMode} onChange=${(event) => change({ screenReaderMode: event.target.checked })} /> For a screen reader</label>
      <label>Size of the text <input type="number" min="8" max="32" value=${options.fontSize} onChange=${(event) => event.target.checkValidity() && change({ fontSize: Number(event.target.value) })} /></label>
    </fieldset>
  `;
}

function kept() {
  try {
    return { fontSize: 14, screenReaderMode: false, ...JSON.parse(localStorage.getItem("terminal")) };
  } catch {
    return { fontSize: 14, screenReaderMode: false };
  }
}
