// Which view the address bar names. Links of the page change the address without loading the page again.
import { signal } from "@preact/signals";
import { ROUTES } from "#app/routes.js";
import { isOutdated } from "#app/worker.js";

export const address = signal(read());

// The route of an address: {route, params, query}; undefined if no view has this path.
export function match({ path, search }) {
  for (const route of ROUTES) {
    const found = route.pattern.exec(path);
    const params = found && decoded(found.groups ?? {});
    if (params) return { route, params, query: new URLSearchParams(search) };
  }
  return undefined;
}

export function navigate(to, { replace = false } = {}) {
  const url = new URL(to, location.href);
  if (needsPage(url) || isOutdated.value) return location.assign(url);
  history[replace ? "replaceState" : "pushState"](null, "", url);
  address.value = read();
}

export function start() {
  addEventListener("popstate", () => {
    if (needsPage(location)) location.reload();
    else address.value = read();
  });
  addEventListener("click", follow);
}

function follow(event) {
  const link = event.target.closest?.("a[href]");
  const isPlain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (!link || !isPlain || event.defaultPrevented || link.target || link.hasAttribute("download")) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || !match({ path: url.pathname, search: url.search })) return;
  if (url.hash && url.pathname === location.pathname && url.search === location.search) return; // a place in this view
  event.preventDefault();
  navigate(url.pathname + url.search + url.hash);
}

// Terminals need a page with another policy for styles, so a link to or from them loads the page.
function needsPage(url) {
  return isTerminal(url.pathname) !== isTerminal(loaded);
}

const loaded = location.pathname;
const isTerminal = (path) => /^\/terminals(\/|$)/.test(path);

function read() {
  return { path: location.pathname, search: location.search, hash: location.hash };
}

// The names in a path; null if one is not valid text, such as `%E0`.
function decoded(groups) {
  try {
    return Object.fromEntries(Object.entries(groups).map(([name, text]) => [name, decodeURIComponent(text)]));
  } catch {
    return null;
  }
}
