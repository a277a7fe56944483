// What surrounds every view: the navigation, the state of the connection, the login and the help.
import { html } from "htm/preact";
import { useEffect, useErrorBoundary, useRef, useState } from "preact/hooks";
import { Help, isHelpShown } from "#app/keys.js";
import { address, match } from "#app/router.js";
import { NAVIGATION } from "#app/routes.js";
import { isOutdated } from "#app/worker.js";
import { isLoggedOut } from "#client/api.js";
import { hurry, state } from "#client/connection.js";
import { onAsked, pending } from "#model/hub.js";
import { Notices, notifyProblem } from "#parts/notices.js";

export function Shell() {
  const found = match(address.value);
  return html`
    <a class="skip" href="#main">Skip to content</a>
    <${Navigation} current=${found?.route.name} />
    <div class="messages"><${Connection} /><${Notices} /></div>
    <main id="main" tabindex="-1" data-view=${found?.route.view}>
      ${isLoggedOut.value && html`<${LoggedOut} />`}
      ${found ? html`<${View} ...${found} />` : html`<${Missing} />`}
    </main>
    <${Alert} />
    ${isHelpShown.value && html`<${Help} />`}
  `;
}

function Navigation({ current }) {
  const place = useRef(null);
  useEffect(() => {
    const link = place.current.querySelector("[aria-current]"); // on a phone, it may be beyond the edge
    link?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [current]);
  return html`
    <nav ref=${place} class="navigation" aria-label="Main">
      ${NAVIGATION.map(
        ({ name, path }) => html`
          <a key=${name} href=${path} aria-current=${name === current ? "page" : undefined}>
            <span class="glyph glyph-${name.toLowerCase()}" aria-hidden="true"></span>${name}
            ${name === "Permissions" && html`<${Waiting} />`}
          </a>
        `,
      )}
    </nav>
  `;
}

function Waiting() {
  const count = pending.value.length;
  return count > 0 && html`<span class="count" aria-label="${count} waiting">${count}</span>`;
}

// A request of another view, which is answered in place. Its module is loaded with the first request.
function Alert() {
  const [module, setModule] = useState(null);
  const load = () => import("#parts/alerts.js");
  useEffect(() => onAsked((request) => load().then(({ tell }) => tell(request), notifyProblem)), []);
  useEffect(() => void (pending.value.length && !module && load().then(setModule, notifyProblem)), [pending.value.length]);
  return module && html`<${module.PermissionAlert} />`;
}

// Says that the connection is lost, and only then.
function Connection() {
  const isLost = state.value === "lost" && !isLoggedOut.value;
  return html`
    <div class="connection" role="status">
      ${isOutdated.value && !isLost && html`The hub was updated. <button onClick=${() => location.reload()}>Load the new page</button>`}
      ${isLost && html`The connection to the hub is lost. Reconnecting… <button onClick=${hurry}>Reconnect now</button>`}
    </div>
  `;
}

// Loads the module of a view. The old view stays until the new one is there.
function View({ route, params, query }) {
  const [module, setModule] = useState(null);
  const [problem, setProblem] = useState(null);
  const last = useRef(null);
  useEffect(() => {
    let isCurrent = true;
    setProblem(null);
    route.load().then(
      (loaded) => {
        sessionStorage.removeItem("loaded again");
        if (isCurrent) setModule({ route, View: loaded.default });
      },
      (error) => isCurrent && setProblem(error),
    );
    return () => (isCurrent = false);
  }, [route]);
  useEffect(() => {
    if (last.current && last.current !== address.value.path) document.getElementById("main").focus();
    last.current = address.value.path;
  }, [address.value.path]);
  useEffect(() => {
    const count = pending.value.length ? `(${pending.value.length}) ` : "";
    document.title = `${count}${params.id ? `${params.id} · ` : ""}${route.name} · aish`;
  }, [route, params.id, pending.value.length]);
  if (problem) return html`<${Unloadable} problem=${problem} />`;
  if (module?.route !== route) return html`<p class="loading" role="status">Loading…</p>`;
  return html`<${Guarded} key=${params.id ?? route.name}><${module.View} params=${params} query=${query} /><//>`;
}

// What a peer has sent may be of any form. If a view cannot draw it, the navigation is still there.
function Guarded({ children }) {
  const [fault] = useErrorBoundary((error) => console.error(error));
  return fault ? html`<${Unloadable} problem=${fault} />` : children;
}

// While the hub is away, only the first view can be shown. When it is there, the page loads itself again, but
// not again and again.
function Unloadable({ problem }) {
  const isAway = state.value !== "open";
  const isTried = sessionStorage.getItem("loaded again") === location.pathname;
  useEffect(() => {
    if (isAway || isTried) return;
    sessionStorage.setItem("loaded again", location.pathname);
    location.reload();
  }, [isAway]);
  if (isAway) return html`<h1>The hub does not answer</h1><p>This view is shown when the hub is there again.</p>`;
  return html`
    <h1>This view cannot be loaded</h1>
    <p>${problem.message}</p>
    <p>If the hub was updated, <button onClick=${() => location.reload()}>load the page again</button>.</p>
  `;
}

function Missing() {
  return html`<h1>There is no such page</h1><p><a href="/">Show the peers</a></p>`;
}

// What a page shows when the hub no longer accepts its login. The view below keeps what was typed.

function LoggedOut() {
  return html`
    <section class="logged-out" role="alert">
      <h1>You are logged out</h1>
      <p>The login has ended: it expired, or it was ended or revoked. Nothing that was sent is lost.</p>
      <p>Run <code>aish console</code> to log in again, or enter a code from <code>aish console --print</code>:</p>
      <form action="/login" method="get">
        <label>Code <input name="code" autocomplete="off" required spellcheck="false" /></label>
        <button>Log in</button>
        <button type="button" onClick=${hurry}>Try again</button>
      </form>
    </section>
  `;
}
