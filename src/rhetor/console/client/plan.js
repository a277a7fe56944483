// A plan that runs, or has run: its events, and how to start and to stop one.
import { signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { get, newKey, post, remove } from "#client/api.js";
import { follow } from "#client/connection.js";
import { EMPTY, fold } from "#model/line.js";

const place = (id) => `/api/v2/plans/${encodeURIComponent(id)}`;
let attempt = { line: null, key: null };

// Start a line; returns the id of its plan. If the answer is lost, the next attempt starts no second plan.
export async function startPlan(line) {
  if (attempt.line !== line) attempt = { line, key: newKey() };
  try {
    const { plan_id: plan } = await post("/api/v2/plans", { line }, { key: attempt.key, headers: { prefer: "respond-async" } });
    attempt = { line: null, key: null };
    return plan;
  } catch (problem) {
    if (problem.code !== "unreachable") attempt = { line: null, key: null };
    throw problem;
  }
}

export const stopPlan = (id) => remove(place(id));

// The run of a plan: {run, problem} as signals. It continues after a restart of the hub, and after the page was
// loaded again, because all of it is in the log.
export function usePlan(id) {
  const plan = useMemo(() => ({ run: signal(EMPTY), problem: signal(null) }), [id]);
  useEffect(() => (id ? followPlan(id, plan) : undefined), [id]);
  return plan;
}

function followPlan(id, { run, problem }) {
  const onEvents = (events) => (run.value = events.reduce(fold, run.value));
  const onReset = (answer) => (problem.value = { message: answer.detail ?? "The events of this plan are no longer kept.", hint: null });
  const stop = follow(id, { onEvents, onReset });
  get(place(id)).catch((error) => !error.retryable && (problem.value = error)); // says why, if there is no such plan
  return stop;
}
