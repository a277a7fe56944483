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
