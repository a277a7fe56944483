// The projects, which are read when a view first asks for them.
import { signal } from "@preact/signals";
import { get } from "#client/api.js";

export const projects = signal([]);

let reading = null;

export function readProjects() {
  reading ??= get("/api/projects").then(({ projects: found }) => (projects.value = found), () => (reading = null));
}

export const projectName = (id) => projects.value.find((project) => project.id === id)?.name ?? id;
