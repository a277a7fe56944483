// Who and what may use the hub, and whom it notifies.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { get, post, put, remove } from "#client/api.js";
import { AlertSettings } from "#parts/alerts.js";
import { Trouble, useAction, useAnswer, Waiting } from "#parts/loaded.js";
import { secondsText, timeText } from "#parts/text.js";

const THEMES = [["auto", "As the system"], ["light", "Light"], ["dark", "Dark"]];

export function ThisBrowser() {
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

// The logins of browsers, logging out, and a QR code with which another device logs in.

export function Logins() {
  const { answer, problem, reload } = useAnswer(() => get("/api/v2/logins"));
  const { run, isBusy, problem: failed } = useAction();
  if (!answer) return html`<${Waiting} answer=${answer} problem=${problem} />`;
  const end = (id) => run(() => remove(`/api/v2/logins/${encodeURIComponent(id)}`).then(reload));
  const endOthers = () => run(() => remove("/api/v2/logins").then(reload));
  const leave = () => run(() => post("/api/auth/logout").then(forget));
  return html`
    <p class="buttons">
      <button onClick=${leave} disabled=${isBusy}>Log out</button>
      <button onClick=${endOthers} disabled=${isBusy || answer.logins.length < 2}>End all other logins</button>
    </p>
    ${failed && html`<${Trouble} problem=${failed} />`}
    <ul class="cards">${answer.logins.map((login) => html`<${Login} key=${login.id} login=${login} onEnd=${end} isBusy=${isBusy} />`)}</ul>
    <h3>Another device</h3>
    <${OtherDevice} />
  `;
}

// What was typed here is nobody else's business. The hub has the browser do the same, but not for a tab's own storage.
function forget() {
  sessionStorage.clear();
  localStorage.clear();
  location.assign("/");
}

function Login({ login, onEnd, isBusy }) {
  const since = timeText(login.logged_in_at);
  return html`
    <li class="card">
      <h3 dir="auto">${login.current ? "This browser" : login.user_agent || "A browser"}</h3>
      <p>${login.subject}, ${login.scopes.join(", ")}</p>
      <p class="muted">From ${login.address} since ${since}, until ${timeText(login.expires_at)}${login.used_at && `; last used ${timeText(login.used_at)}`}</p>
      ${!login.current && html`<button disabled=${isBusy} aria-label="End the login since ${since}" onClick=${() => onEnd(login.id)}>End</button>`}
    </li>
  `;
}

function OtherDevice() {
  const [code, setCode] = useState(null);
  const { run, isBusy, problem } = useAction();
  const show = () => {
    setCode(null);
    run(async () => setCode(await post("/api/auth/code", { for: "network" })));
  };
  return html`
    <p><button onClick=${show} disabled=${isBusy}>${code ? "Show a new code" : "Show a code to log in a phone"}</button></p>
    ${problem && html`<${Trouble} problem=${problem} />`}
    ${problem?.missing && html`<p>Set first: ${problem.missing.map((key) => html`<a key=${key} href="/settings?find=${encodeURIComponent(key)}">${key}</a> `)}</p>`}
    ${code && html`
      <${QrCode} rows=${code.qr} />
      <p>Or open <code class="url">${code.url}</code> on the device. The code works once, for ${Math.round(code.expires_in)} s.</p>
      ${code.ca && html`<p>The device must know the hub's CA once: <a href=${code.ca.url} download>${code.ca.url}</a>. Its SHA-256 is <code class="url">${code.ca.sha256}</code>.</p>`}
    `}
  `;
}

const BORDER = 4; // light modules, without which cameras do not find the code

function QrCode({ rows }) {
  const size = rows.length + 2 * BORDER;
  const path = rows.flatMap((row, y) => [...row].map((one, x) => (one === "1" ? `M${x + BORDER} ${y + BORDER}h1v1h-1z` : ""))).join("");
  return html`<svg class="qr" role="img" aria-label="QR code to log in another device" viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges"><rect width=${size} height=${size} fill="#fff" /><path d=${path} fill="#000" /></svg>`;
}

// Where the API keys of providers are. A key is never shown; it can be set and removed.

export function Keys() {
  const { answer, problem, reload } = useAnswer(() => get("/api/v2/keys"));
  if (!answer) return html`<${Waiting} answer=${answer} problem=${problem} />`;
  return html`<ul class="cards">${answer.keys.map((key) => html`<${Key} key=${key.name} found=${key} onDone=${reload} />`)}</ul>`;
}

function Key({ found, onDone }) {
  const [text, setText] = useState("");
  const { run, isBusy, problem } = useAction();
  const path = `/api/v2/keys/${encodeURIComponent(found.name)}`;
  const store = (event) => {
    event.preventDefault();
    run(async () => {
      await put(path, { key: text.trim() });
      setText("");
      await onDone();
    });
  };
  return html`
    <li class="card">
      <h3 dir="auto">${found.name}</h3>
      <p>${placeOf(found)}</p>
      <form class="setting-value" onSubmit=${store}>
        <label>New key of ${found.name} <input type="password" required autocomplete="off" value=${text} onInput=${(event) => setText(event.target.value)} /></label>
        <button class="primary" disabled=${isBusy || !text.trim()}>Store</button>
        ${found.stored && html`<button type="button" class="danger" disabled=${isBusy} aria-label="Remove the key of ${found.name}" onClick=${() => run(() => remove(path).then(onDone))}>Remove</button>`}
      </form>
      ${problem && html`<${Trouble} problem=${problem} />`}
    </li>
  `;
}

function placeOf({ stored, set_at: at, variable }) {
  const kept = stored ? `Stored in the ${stored === "keyring" ? "keyring" : "hub's file"} since ${timeText(at)}` : "Not stored";
  return variable ? `${kept}. The hub's variable ${variable} has a key, which takes precedence.` : `${kept}.`;
}

// The recipients of notifications, and a test of each. They are defined in the configuration file.

export function Recipients() {
  const { answer, problem } = useAnswer(() => get("/api/v2/notify"));
  if (!answer) return html`<${Waiting} answer=${answer} problem=${problem} />`;
  return html`
    ${answer.notify.length === 0 && html`<p class="muted">Nobody is notified. Add entries to <code>notify:</code> in the configuration file.</p>`}
    <ul class="cards">${answer.notify.map((one) => html`<${Recipient} key=${one.name} one=${one} />`)}</ul>
  `;
}

function Recipient({ one }) {
  const [results, setResults] = useState([]);
  const { run, isBusy, problem } = useAction();
  const test = () => run(async () => setResults((await post("/api/v2/notify/test", { name: one.name })).notify));
  return html`
    <li class="card">
      <h3 dir="auto">${one.name} <span class="muted">${one.kind}</span></h3>
      <p>${one.on.join(", ")}${one.after > 0 && `, after ${secondsText(one.after)}`}</p>
      ${!one.ok && html`<p class="problem" dir="auto">${one.detail}</p><p class="hint" dir="auto">${one.hint}</p>`}
      ${one.waiting > 0 && html`<p>${one.waiting} waiting</p>`}
      <button disabled=${isBusy} aria-label="Send a test to ${one.name}" onClick=${test}>${isBusy ? "Sending…" : "Send a test"}</button>
      <div role="status">${results.map(({ ok, seconds, error, hint }) => html`<p class=${ok ? "" : "problem"} dir="auto">${ok ? `Sent in ${secondsText(seconds)}` : `${error} ${hint ?? ""}`}</p>`)}</div>
      ${problem && html`<${Trouble} problem=${problem} />`}
    </li>
  `;
}
