// The keyboard of a phone. Some browsers make the page smaller for it; in others it covers the lower part, of
// which `--keyboard` is the height. While it is there, the navigation leaves the space to what is typed.
import { coveredBy, isKeyboard } from "#model/viewport.js";

export function start() {
  const seen = globalThis.visualViewport;
  if (!seen) return;
  let tallest = innerHeight;
  let width = innerWidth;
  const measure = () => {
    if (innerWidth !== width) [tallest, width] = [innerHeight, innerWidth]; // it was turned
    tallest = Math.max(tallest, innerHeight);
    const covered = coveredBy(innerHeight, seen);
    const root = document.documentElement;
    root.style.setProperty("--keyboard", `${covered}px`);
    root.toggleAttribute("data-keyboard", isTyping() && isKeyboard(tallest, seen));
  };
  seen.addEventListener("resize", measure);
  seen.addEventListener("scroll", measure);
  for (const name of ["focusin", "focusout"]) addEventListener(name, () => setTimeout(measure));
  measure();
}

const isTyping = () => /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "");
