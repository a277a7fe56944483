// Keeps the page and the files of its first view, so that the installed app opens while the hub is away.
// VERSION and SHELL are put before this text. Nothing but these files is ever kept.
const CACHE = `shell-${VERSION}`;

addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SHELL)).then(() => self.skipWaiting()));
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

async function forgetOlder() {
  for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
}

// The page of a terminal has another policy, so it is never taken from the cache.
function isView(path) {
  return path === "/" || /^\/(peers|sessions|line|permissions|search|costs|settings|health)(\/|$)/.test(path);
}

async function page(request) {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put("/", answer.clone());
    return answer;
  } catch (error) {
    const last = await cache.match("/");
    if (last) return last;
    throw error;
  }
}

async function kept(request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(request)) ?? fetch(request);
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
