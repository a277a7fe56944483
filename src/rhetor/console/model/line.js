// A line of the grammar, and its plan: how the plan runs, and where its steps are drawn.

// Places in a line. The hub counts characters, and JavaScript counts UTF-16 units.

export const charactersBefore = (text, unit) => [...text.slice(0, unit)].length;

export function unitOf(text, character) {
  let unit = 0;
  let count = 0;
  for (const one of text) {
    if (count === character) break;
    unit += one.length;
    count += 1;
  }
  return unit;
}

// The line with a candidate in it: {text, at}, `at` in units. A blank follows what is complete.
export function completed(line, { start, end }, candidate) {
  const [from, to] = [unitOf(line, start), unitOf(line, end)];
  const rest = line.slice(to);
  const blank = /[=:@]$/.test(candidate) || rest.startsWith(" ") ? "" : " ";
  const before = line.slice(0, from) + candidate + blank;
  return { text: before + rest, at: before.length };
}

// The candidates that still fit after more was typed. `at`: the cursor, in characters.
export function narrowed(list, line, at) {
  const typed = [...line].slice(list.start, at).join("").toLowerCase();
  const fits = ({ text }) => text.toLowerCase().startsWith(typed) && text.toLowerCase() !== typed;
  return { ...list, end: at, active: -1, candidates: at < list.start ? [] : list.candidates.filter(fits) };
}

// The parts of a line, with the problem of each: [{text, problem}]. A problem without length is one character, at
// the end of the line a blank.
export function withProblems(line, problems) {
  const characters = [...line];
  const parts = [];
  let at = 0;
  for (const problem of [...problems].sort((one, other) => one.start - other.start)) {
    const start = Math.max(at, problem.start);
    const end = Math.max(start + 1, problem.start + problem.length);
    parts.push({ text: characters.slice(at, start).join(""), problem: null });
    parts.push({ text: characters.slice(start, end).join("") || " ", problem });
    at = end;
  }
  parts.push({ text: characters.slice(at).join(""), problem: null });
  return parts.filter(({ text }) => text);
}

const STORED = "lines";
const MOST = 100;

// The lines that were run in this browser, the last one first: [{line, plan, at}].
export function linesIn(storage) {
  try {
    const found = JSON.parse(storage.getItem(STORED));
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

export function addLine(storage, entry) {
  const lines = [entry, ...linesIn(storage).filter(({ plan }) => plan !== entry.plan)].slice(0, MOST);
  storage.setItem(STORED, JSON.stringify(lines));
  return lines;
}

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

// Where the steps of a plan are drawn: in layers, each after all that it needs.

const HIGH = 58; // pixels of a step
const WIDE = { along: 190, upright: 150 }; // two upright ones are as wide as the window of a phone
const GAP = 46; // between two layers, for the edges
const SPACE = 14; // between two steps of a layer

// Returns {width, height, nodes: [{id, x, y, width, height}], edges: [{from, to, path}]}. `isUpright`: the layers
// follow each other from top to bottom, for narrow windows.
export function layout(steps, isUpright = false) {
  const long = isUpright ? WIDE.upright : WIDE.along;
  const { layers, chains } = withBends(layersOf(steps));
  const [size, cross] = isUpright ? [HIGH, long] : [long, HIGH];
  const room = Math.max(1, ...layers.map((layer) => layer.length));
  const places = new Map();
  ordered(layers).forEach((layer, depth) => {
    const free = ((room - layer.length) * (cross + SPACE)) / 2;
    layer.forEach(({ id }, index) => {
      const [along, across] = [depth * (size + GAP), free + index * (cross + SPACE)];
      places.set(id, { id, x: isUpright ? across : along, y: isUpright ? along : across, width: long, height: HIGH });
    });
  });
  const all = [Math.max(0, layers.length * (size + GAP) - GAP), room * (cross + SPACE) - SPACE];
  const [width, height] = isUpright ? all.reverse() : all;
  const edges = chains.map(({ from, to, through }) => ({ from, to, path: pathThrough(through.map((id) => places.get(id)), isUpright) }));
  return { width, height, nodes: steps.map(({ id }) => places.get(id)), edges };
}

// Each step one layer after the last one that it needs.
function layersOf(steps) {
  const known = new Map(steps.map((step) => [step.id, step]));
  const depths = new Map();
  const depthOf = (id, path) => {
    if (depths.has(id) || path.has(id)) return depths.get(id) ?? 0; // a circle, which no plan has
    const needs = known.get(id).needs.filter((one) => known.has(one));
    const inside = new Set(path).add(id);
    depths.set(id, Math.max(-1, ...needs.map((one) => depthOf(one, inside))) + 1);
    return depths.get(id);
  };
  const layers = [];
  for (const step of steps) (layers[depthOf(step.id, new Set())] ??= []).push(step);
  return layers.filter(Boolean);
}

// An edge that is longer than one layer has a bend in each layer between, so that it goes around the steps there.
function withBends(layers) {
  const depths = new Map(layers.flatMap((layer, depth) => layer.map(({ id }) => [id, depth])));
  const next = layers.map((layer) => layer.map((step) => ({ id: step.id, needs: [] })));
  const chains = [];
  for (const step of layers.flat()) {
    for (const from of step.needs.filter((id) => depths.get(id) < depths.get(step.id))) {
      const through = [from];
      for (let depth = depths.get(from) + 1; depth < depths.get(step.id); depth += 1) {
        const bend = { id: `${from} ${step.id} ${depth}`, needs: [through.at(-1)] };
        next[depth].push(bend);
        through.push(bend.id);
      }
      next[depths.get(step.id)].find(({ id }) => id === step.id).needs.push(through.at(-1));
      chains.push({ from, to: step.id, through: [...through, step.id] });
    }
  }
  return { layers: next, chains };
}

// In each layer, the steps are in the order of those that they need, so that few edges cross.
function ordered(layers) {
  const places = new Map();
  return layers.map((layer) => {
    const middles = layer.map((step) => [average(step.needs.map((id) => places.get(id))), step]);
    const sorted = middles.sort((one, other) => one[0] - other[0]).map(([, step]) => step);
    sorted.forEach((step, index) => places.set(step.id, index - (sorted.length - 1) / 2));
    return sorted;
  });
}

const average = (numbers) => (numbers.length ? numbers.reduce((sum, one) => sum + one, 0) / numbers.length : 0);

function pathThrough(boxes, isUpright) {
  const bend = GAP / 2;
  const [x, y] = sideOf(boxes[0], isUpright, true);
  let path = `M${x} ${y}`;
  boxes.slice(1).forEach((box, index) => {
    const [x1, y1] = sideOf(boxes[index], isUpright, true);
    const [x2, y2] = sideOf(box, isUpright, false);
    const curve = isUpright ? `${x1} ${y1 + bend} ${x2} ${y2 - bend}` : `${x1 + bend} ${y1} ${x2 - bend} ${y2}`;
    path += ` L${x1} ${y1} C${curve} ${x2} ${y2}`;
  });
  return path;
}

// The middle of the side of a box at which edges leave it, or arrive.
function sideOf({ x, y, width, height }, isUpright, isEnd) {
  return isUpright ? [x + width / 2, isEnd ? y + height : y] : [isEnd ? x + width : x, y + height / 2];
}
