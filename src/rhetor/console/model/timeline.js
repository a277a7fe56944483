// The checkpoints of a session as a tree. No DOM.

// The chain of checkpoints from the beginning to the current one, or to the newest if none is current. Each node is
// {checkpoint, isCurrent, branches}; `branches` are the chains that continue from it in another way. The first node
// is the beginning of the session and has no checkpoint.
export function chainOf(checkpoints, current) {
  const known = new Set(checkpoints.map(({ checkpoint_id: id }) => id));
  const children = new Map();
  for (const one of checkpoints) {
    const from = known.has(one.from) ? one.from : null;
    children.set(from, [...(children.get(from) ?? []), one]);
  }
  const byId = new Map(checkpoints.map((one) => [one.checkpoint_id, one]));
  const path = new Set(); // from the current checkpoint back to the beginning
  for (let one = byId.get(current); one && !path.has(one.checkpoint_id); one = byId.get(one.from)) path.add(one.checkpoint_id);
  return chainFrom(null, children, path, current);
}

// The ids in a chain, with all its branches, in the order in which they are shown.
export function idsOf(chain) {
  return chain.flatMap(({ checkpoint, branches }) => [...(checkpoint ? [checkpoint.checkpoint_id] : []), ...branches.flatMap(idsOf)]);
}

function chainFrom(first, children, path, current) {
  const chain = [];
  const seen = new Set();
  for (let at = first; !seen.has(at?.checkpoint_id); ) {
    const id = at?.checkpoint_id ?? null;
    seen.add(at?.checkpoint_id);
    const following = children.get(id) ?? [];
    const main = following.find((one) => path.has(one.checkpoint_id)) ?? following.at(-1);
    const isCurrent = id === (current ?? null);
    const others = following.filter((one) => one !== main);
    chain.push({ checkpoint: at, isCurrent, branches: others.map((one) => chainFrom(one, children, path, current)) });
    if (!main) break;
    at = main;
  }
  return chain;
}
