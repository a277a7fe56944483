// The time, once a second, for parts that count. It stands still while no part looks at it.
import { signal } from "@preact/signals";

let timer = null;

export const now = signal(Date.now(), {
  watched() {
    now.value = Date.now();
    timer = setInterval(() => (now.value = Date.now()), 1000);
  },
  unwatched() {
    clearInterval(timer);
  },
});
