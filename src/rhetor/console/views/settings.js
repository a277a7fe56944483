// Settings: those of this browser, of the hub, and what else is set up. Each section is loaded when it is shown.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { self } from "#model/hub.js";
import { Trouble } from "#parts/loaded.js";

const ACCESS = () => import("#parts/settings_access.js");
const MODELS = () => import("#parts/settings_models.js");

// `admin`: what the section needs the scope `admin` for. `part`: its component in the module.
const SECTIONS = [
  { id: "browser", name: "This browser", load: ACCESS, part: "ThisBrowser" },
  { id: "logins", name: "Logins", load: ACCESS, part: "Logins" },
  { id: "configuration", name: "Configuration", load: () => import("#parts/settings_configuration.js"), part: "Configuration", admin: "The configuration is shown" },
  { id: "keys", name: "API keys", load: ACCESS, part: "Keys", admin: "API keys are shown and set" },
  { id: "models", name: "Models", load: MODELS, part: "Models" },
  { id: "specialists", name: "Specialists", load: MODELS, part: "Specialists" },
  { id: "servers", name: "MCP servers", load: MODELS, part: "Servers" },
  { id: "notify", name: "Notifications", load: ACCESS, part: "Recipients", admin: "Recipients are shown" },
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
  useEffect(() => void section.load().then((module) => setLoaded({ Show: module[section.part] }), (problem) => setLoaded({ problem })), []);
  const mayChange = self.value?.scopes.includes("admin") ?? true;
  if (section.admin && !mayChange) {
    return html`<p class="warning">${section.admin} only to callers with the scope <code>admin</code>, which this login does not have. Log in with <code>aish console</code> as the owner of the hub.</p>`;
  }
  if (loaded.problem) return html`<${Trouble} problem=${loaded.problem} />`;
  if (!loaded.Show) return html`<p class="loading" role="status">Loading…</p>`;
  return html`<${loaded.Show} find=${find} mayChange=${mayChange} />`;
}
