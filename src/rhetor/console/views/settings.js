// Settings: those of this browser, of the hub, and what else is set up. Each section is loaded when it is shown.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { loadStyles } from "#app/styles.js";
import { self } from "#model/hub.js";
import { Trouble } from "#parts/loaded.js";

await loadStyles("#styles/settings.css");

// `admin`: what the section needs the scope `admin` for
const SECTIONS = [
  { id: "browser", name: "This browser", load: () => import("#parts/settings_browser.js") },
  { id: "logins", name: "Logins", load: () => import("#parts/settings_logins.js") },
  { id: "configuration", name: "Configuration", admin: "The configuration is shown", load: () => import("#parts/settings_configuration.js") },
  { id: "keys", name: "API keys", admin: "API keys are shown and set", load: () => import("#parts/settings_keys.js") },
  { id: "models", name: "Models", load: () => import("#parts/settings_models.js") },
  { id: "specialists", name: "Specialists", load: () => import("#parts/settings_specialists.js") },
  { id: "servers", name: "MCP servers", load: () => import("#parts/settings_servers.js") },
  { id: "notify", name: "Notifications", admin: "Recipients are shown", load: () => import("#parts/settings_notify.js") },
];

export default function Settings({ query }) {
  const find = query.get("find");
  const id = query.get("section") ?? (find === "keys" || find === "notify" ? find : find ? "configuration" : "browser");
  const section = SECTIONS.find((one) => one.id === id) ?? SECTIONS[0];
  return html`
    <h1>Settings</h1>
    <nav class="settings-sections" aria-label="Settings">
      ${SECTIONS.map(
        ({ id, name }) => html`<a key=${id} href="/settings?section=${id}" aria-current=${id === section.id ? "page" : undefined}>${name}</a>`,
      )}
    </nav>
    <section aria-labelledby="section">
      <h2 id="section">${section.name}</h2>
      <${Section} key=${section.id} section=${section} find=${find ?? ""} />
    </section>
  `;
}

function Section({ section, find }) {
  const [loaded, setLoaded] = useState({});
  useEffect(() => void section.load().then((module) => setLoaded({ Show: module.default }), (problem) => setLoaded({ problem })), []);
  const mayChange = self.value?.scopes.includes("admin") ?? true;
  if (section.admin && !mayChange) {
    return html`<p class="warning">${section.admin} only to callers with the scope <code>admin</code>, which this login does not have. Log in with <code>aish console</code> as the owner of the hub.</p>`;
  }
  if (loaded.problem) return html`<${Trouble} problem=${loaded.problem} />`;
  if (!loaded.Show) return html`<p class="loading" role="status">Loading…</p>`;
  return html`<${loaded.Show} find=${find} mayChange=${mayChange} />`;
}
