// The logins of browsers, logging out, and a QR code with which another device logs in.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { get, post, remove } from "#client/api.js";
import { Trouble, useAction, useAnswer, Waiting } from "#parts/loaded.js";
import { timeText } from "#parts/text.js";

export default function Logins() {
  const { answer, problem, reload } = useAnswer(() => get("/api/v2/logins"));
  const { run, isBusy, problem: failed } = useAction();
  if (!answer) return html`<${Waiting} answer=${answer} problem=${problem} />`;
  const end = (id) => run(() => remove(`/api/v2/logins/${encodeURIComponent(id)}`).then(reload));
  const endOthers = () => run(() => remove("/api/v2/logins").then(reload));
  const leave = () => run(() => post("/api/auth/logout").then(() => location.assign("/")));
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
