// Submits a form with what was typed last. The page is drawn once per frame, so that a function of the last
// drawing may not know a key that was pressed just before Enter.
import { useRef } from "preact/hooks";

// Return a handler of the event that calls the newest `work()` when the page shows what was typed.
export function useSubmit(work) {
  const latest = useRef(work);
  latest.current = work;
  return async (event) => {
    event.preventDefault();
    await drawn();
    return latest.current();
  };
}

function drawn() {
  return new Promise((resolve) => (document.hidden ? setTimeout(resolve, 150) : requestAnimationFrame(resolve)));
}
