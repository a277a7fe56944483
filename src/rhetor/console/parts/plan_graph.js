// The steps of a plan as a graph. Each node is a button that shows the answer of its step.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { now } from "#model/hub.js";
import { layout } from "#model/line.js";
import { secondsText } from "#parts/text.js";

const MARGIN = 6; // for the outline of the focus
const NARROW = "(max-width: 700px)";
export const STATES = {
  waiting: ["○", "waiting"],
  running: ["●", "running"],
  asking: ["?", "asks"],
  done: ["✓", "done"],
  failed: ["✕", "failed"],
  skipped: ["–", "skipped"],
  stopped: ["■", "stopped"],
};

// `chosen`: the id of the step whose answer is shown. `isPlanned`: the line does not run yet.
export function PlanGraph({ steps, chosen = null, isPlanned = false, onChoose = () => {} }) {
  const isUpright = useMedia(NARROW);
  const { width, height, nodes, edges } = layout(steps, isUpright);
  const known = new Map(steps.map((step) => [step.id, step]));
  const box = [-MARGIN, -MARGIN, width + 2 * MARGIN, height + 2 * MARGIN];
  return html`
    <div class="plan-graph" role="group" aria-label=${isPlanned ? "What the line would do" : "Steps"} tabindex=${isPlanned ? 0 : undefined}>
      <svg viewBox=${box.join(" ")} width=${box[2]} height=${box[3]}>
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
            <path d="M0 0 L8 4 L0 8 z" class="arrow" />
          </marker>
        </defs>
        ${edges.map(({ from, to, path }) => html`<path key="${from} ${to}" class="edge ${known.get(from).state}" d=${path} marker-end="url(#arrow)" />`)}
        ${nodes.map((node) => html`<${Node} key=${node.id} node=${node} step=${known.get(node.id)} ...${{ isChosen: node.id === chosen, isPlanned, onChoose }} />`)}
      </svg>
    </div>
  `;
}

function Node({ node: { x, y, width, height }, step, isChosen, isPlanned, onChoose }) {
  const [mark, word] = STATES[step.state];
  const name = step.capability ? `${step.peer} (@${step.capability})` : (step.peer ?? step.label);
  const text = isPlanned ? planned(step) : `${mark} ${word} ${elapsed(step)}`;
  const label = `${name}: ${isPlanned ? text : `${word} ${elapsed(step)}`}${step.needs.length ? `, after ${step.needs.join(", ")}` : ""}`;
  const choose = () => onChoose(step.id);
  const onKey = (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), choose());
  const button = isPlanned ? { role: "img" } : { role: "button", tabindex: 0, "aria-pressed": isChosen, onClick: choose, onKeyDown: onKey };
  return html`
    <g class="node ${isPlanned ? "planned" : step.state} ${isChosen ? "chosen" : ""}" transform="translate(${x} ${y})" aria-label=${label} ...${button}>
      <title>${name}</title>
      <rect width=${width} height=${height} rx="8" />
      <text class="name" x="12" y="24">${shortened(name, width / 9.5)}</text>
      <text class="state" x="12" y="44">${shortened(text, width / 7.5)}</text>
    </g>
  `;
}

const planned = ({ kind, label, peer }) => (kind === "peer" || label === peer ? "" : label);

function elapsed({ state, startedAt, endedAt }) {
  if (!startedAt || state === "skipped") return "";
  const end = endedAt ? Date.parse(endedAt) : now.value;
  return secondsText(Math.max(0, end - Date.parse(startedAt)) / 1000);
}

function shortened(text, most) {
  const characters = [...text];
  return characters.length > most ? `${characters.slice(0, Math.floor(most) - 1).join("")}…` : text;
}

function useMedia(query) {
  const [isMatching, setMatching] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const look = () => setMatching(media.matches);
    media.addEventListener("change", look);
    return () => media.removeEventListener("change", look);
  }, [query]);
  return isMatching;
}
