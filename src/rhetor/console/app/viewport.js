// The keyboard of a phone. Some browsers make the page smaller for it; in others it covers the lower part, of
// which `--keyboard` is the height. While it is there, the navigation leaves the space to what is typed.
const LEAST = 120; // pixels; less is the bar of a browser

// How many pixels at the bottom of the page are covered. `seen`: the visual viewport.
export function coveredBy(height, { height: visible, offsetTop, scale }) {
  if (scale > 1.01) return 0; // it is zoomed in, not covered
  const covered = Math.round(height - visible - offsetTop);
  return covered >= LEAST ? covered : 0;
}

// Whether a keyboard takes a part of the screen. `tallest`: the page without one.
export function isKeyboard(tallest, { height: visible, scale }) {
  return scale <= 1.01 && tallest - visible >= LEAST;
}

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
