// The entry point: connects, and shows the shell.
import { options, render } from "preact";
import { html } from "htm/preact";
import { Shell } from "#app/shell.js";
import { start as startConnection } from "#client/connection.js";
import { start as startKeys } from "#app/keys.js";
import { start as startRouter } from "#app/router.js";
import { start as startViewport } from "#app/viewport.js";
import { install } from "#app/worker.js";

const LATEST = 100; // milliseconds until a page that has no frames, because it is hidden, is drawn

// Draw at most once per frame, however many events arrive.
options.debounceRendering = (draw) => {
  const timer = setTimeout(() => (cancelAnimationFrame(frame), draw()), LATEST);
  const frame = requestAnimationFrame(() => (clearTimeout(timer), draw()));
};

startConnection();
startRouter();
startKeys();
render(html`<${Shell} />`, document.getElementById("app"));
startViewport();
// The service worker has a process of its own and asks for the page again, so it leaves the first view its time.
addEventListener("load", () => setTimeout(install, 1000));
