// Repeats work while the page is visible, and at once when it becomes visible again.
import { useEffect } from "preact/hooks";

export function useRepeated(seconds, work, inputs = []) {
  useEffect(() => {
    let timer = null;
    let isOver = false;
    const run = async () => {
      clearTimeout(timer);
      await work();
      if (!isOver && document.visibilityState === "visible") timer = setTimeout(run, seconds * 1000);
    };
    const onVisible = () => document.visibilityState === "visible" && run();
    document.addEventListener("visibilitychange", onVisible);
    run();
    return () => {
      isOver = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, inputs);
}
