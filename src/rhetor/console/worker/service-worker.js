// Keeps the page and the files of its first view, so that the installed app opens while the hub is away.
// VERSION and SHELL are put before this text. Nothing but these files is ever kept: no answer of an API, no
// page for logging in, and no page of another version of the hub.
const CACHE = `shell-${VERSION}`;
const PAGE = "/";

addEventListener("install", (event) => {
  event.waitUntil(install());
});

addEventListener("activate", (event) => {
  event.waitUntil(forgetOlder().then(() => self.clients.claim()));
});

addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (request.mode === "navigate" && isView(url.pathname)) event.respondWith(page(request));
  else if (SHELL.includes(url.pathname)) event.respondWith(kept(request));
});

async function install() {
  const cache = await caches.open(CACHE);
  await cache.addAll(SHELL);
  await fetch(PAGE).then(keep, () => {}); // later, if the browser is not logged in now
  await self.skipWaiting();
}

async function forgetOlder() {
  for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
}

function isView(path) {
  return path === "/" || /^\/(peers|sessions|line|terminals|permissions|search|costs|settings|health)(\/|$)/.test(path);
}

// From the hub if it answers. Otherwise the kept page, which says that the hub is away.
async function page(request) {
  try {
    const answer = await fetch(request);
    if (!isTerminal(request.url)) await keep(answer);
    return answer;
  } catch (error) {
    const last = await caches.match(PAGE, { cacheName: CACHE });
    if (last) return last;
    throw error;
  }
}

// Keep a page of this version. One of a newer hub waits for the service worker of that hub.
async function keep(answer) {
  if (!answer.ok || answer.redirected) return;
  const text = await answer.clone().text();
  const isOwn = text.includes(`<meta name="version" content="${VERSION}">`);
  if (isOwn && (await caches.has(CACHE))) await (await caches.open(CACHE)).put(PAGE, answer.clone());
}

// The page of a terminal has another policy.
function isTerminal(url) {
  return /^\/terminals(\/|$)/.test(new URL(url).pathname);
}

async function kept(request) {
  return (await caches.match(request, { cacheName: CACHE })) ?? fetch(request);
}

// Phones show the notifications of a page through its worker.
addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(show(event.notification.data?.url ?? "/"));
});

async function show(url) {
  const [page] = await self.clients.matchAll({ type: "window" });
  return page ? page.focus() : self.clients.openWindow(url);
}
