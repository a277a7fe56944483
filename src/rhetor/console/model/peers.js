// All peers and what they do now, kept up to date while the page is open.
import { computed, signal } from "@preact/signals";
import { watch } from "#client/connection.js";

const known = signal(null); // null before the first answer; then id → peer
export const problem = signal(null);

export const isLoaded = computed(() => known.value !== null);
export const peers = computed(() => [...(known.value?.values() ?? [])]);

export function peerOf(id) {
  return known.value?.get(id);
}

watch("watchPeers", {}, {
  onStart: (result) => {
    known.value = new Map(result.peers.map((peer) => [peer.id, peer]));
    problem.value = null;
  },
  onChange: (name, { changed, removed }) => {
    const next = new Map(known.value);
    for (const peer of changed) next.set(peer.id, peer);
    for (const id of removed) next.delete(id);
    known.value = next;
  },
  onProblem: (error) => (problem.value = error),
});
