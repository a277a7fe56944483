// The caller as which the hub knows this page, with its rights: {subject, scopes, …}; null before its answer.
import { signal } from "@preact/signals";
import { get } from "#client/api.js";

export const self = signal(null);

export const isMine = (session) => self.value === null || session.owner === self.value.subject;

get("/api/v2/whoami").then((found) => (self.value = found), () => {}); // without it, the hub still says no
