// Loads the style sheet of a view, once. A view waits for it, so that it is never shown without.
const loading = new Map();

export function loadStyles(name) {
  if (!loading.has(name)) loading.set(name, load(import.meta.resolve(name)));
  return loading.get(name);
}

function load(href) {
  return new Promise((resolve) => {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
    link.onload = link.onerror = resolve; // a view without styles is better than none
    document.head.append(link);
  });
}
