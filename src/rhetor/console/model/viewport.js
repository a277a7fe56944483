// What a keyboard on the screen leaves of a page.
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
