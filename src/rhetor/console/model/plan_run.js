// The run of a plan: its steps and what each has said, folded from the plan's events. Also the steps of a line
// that has not run yet, as the preview has them.

export const EMPTY = { steps: [], status: null };
const ENDED = { "step.done": "done", "step.failed": "failed", "step.skipped": "skipped" };

// Steps of a preview. A team is one step with members, which run as steps of their own.
export function previewed(steps) {
  const parts = new Map(steps.map(({ step, members }) => [step, members?.length ? members.map((member) => `${step}.${member}`) : [step]]));
  const all = steps.flatMap((one) => parts.get(one.step).map((id, index) => ({
    ...step(id),
    peer: one.members?.[index] ?? one.peer ?? one.label,
    label: one.label,
    kind: one.kind,
    needs: one.depends_on.flatMap((needed) => parts.get(needed) ?? []),
  })));
  return { steps: all, status: null };
}

// The next state of a run. Events come in order, each once.
export function fold(run, { type, step: id, turn_id: turn, at, data }) {
  if (type === "plan.started") return { steps: data.steps.map(ofPlan), status: "running" };
  if (type === "plan.ended") return { steps: run.steps.map(endedWith(data.status, at)), status: data.status };
  const change = id && CHANGES[type];
  if (!change) return run;
  return { ...run, steps: run.steps.map((one) => (one.id === id ? { ...one, ...change(one, data, at, turn, type) } : one)) };
}

const CHANGES = {
  "step.started": (one, { peer, session_id: session, turn_id: turn, capability }, at) => ({
    state: "running", peer, session, turn, capability, startedAt: at,
  }),
  "turn.started": (one, { peer }) => ({ peer }), // another one, if the turn was passed on
  "message.accepted": (one, { content }) => ({ asked: content }),
  "output.delta": (one, { text, channel }) => (channel === "answer" ? { text: one.text + text } : {}),
  "output.partial": (one, { text }) => ({ text }),
  "turn.failed": (one, { hint }) => ({ hint: hint ?? null }),
  "step.done": ended,
  "step.failed": ended,
  "step.skipped": ended,
};

function ended(one, data, at, turn, type) {
  const { detail = null, because = null, text = one.text, data: more } = data;
  return { state: ENDED[type], text, detail, because, hint: more?.hint ?? one.hint, endedAt: at };
}

// A plan that was stopped leaves steps that never began.
const endedWith = (status, at) => (one) =>
  one.state === "running" || one.state === "waiting" ? { ...one, state: status === "cancelled" ? "stopped" : "skipped", endedAt: one.startedAt && at } : one;

function ofPlan({ id, ai, depends_on: needs, session_id: session }) {
  return { ...step(id), peer: ai, label: ai, session, needs: needs ?? [] };
}

function step(id) {
  return {
    id, peer: null, label: null, kind: "peer", needs: [], state: "waiting", text: "", asked: null, session: null, turn: null,
    capability: null, detail: null, hint: null, because: null, startedAt: null, endedAt: null,
  };
}

// The steps whose answers no other step receives.
export function lastSteps(steps) {
  const needed = new Set(steps.flatMap(({ needs }) => needs));
  return steps.filter(({ id }) => !needed.has(id));
}
