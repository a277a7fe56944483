// The service worker, with which the app opens while the hub is away, and which says that the hub was updated.
import { effect, signal } from "@preact/signals";
import { state } from "#client/connection.js";

const URL = "/service-worker.js";

// whether the hub now has other files than this page; the next view then loads the page anew
export const isOutdated = signal(false);

export async function install() {
  const worker = navigator.serviceWorker; // only with TLS, or on this machine
  if (!worker) return;
  let hasOne = Boolean(worker.controller);
  worker.addEventListener("controllerchange", () => {
    isOutdated.value ||= hasOne; // the first one belongs to this page
    hasOne = true;
  });
  const registration = await worker.register(trusted(URL), { updateViaCache: "none" }).catch(() => null);
  let wasLost = false;
  effect(() => {
    if (state.value === "open" && wasLost) registration?.update().catch(() => {});
    wasLost = state.value === "lost";
  });
}

function trusted(url) {
  const policy = globalThis.trustedTypes?.createPolicy("console", {
    createScriptURL: (given) => {
      if (given !== URL) throw new TypeError(`no script has this URL: ${given}`);
      return given;
    },
  });
  return policy ? policy.createScriptURL(url) : url;
}
