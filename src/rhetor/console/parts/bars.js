// Stacked bars, one for each day, drawn by uPlot. The arrow keys move from day to day; what the day has is
// read out, so that the plot needs no eyes and no mouse.
import uPlot from "uplot";
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { loadStyles } from "#app/styles.js";
import { stacked } from "#model/usage.js";

await loadStyles("#vendor/uplot.css");

const HEIGHT = 260;
const STEPS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -7, PageUp: 7, Home: -1e6, End: 1e6 };
const dark = matchMedia("(prefers-color-scheme: dark)");

// `series`: [{name, values, isRest}]. `text`: writes an amount. `summary`: what the plot shows, in words.
export function Bars({ days, series, text, summary }) {
  const place = useRef(null);
  const plot = useRef(null);
  const [index, setIndex] = useState(null);
  const at = Math.min(index ?? days.length - 1, days.length - 1);
  useEffect(() => {
    const draw = () => {
      plot.current?.destroy();
      plot.current = drawn(place.current, { days, series, text, onDay: setIndex });
    };
    draw();
    return watchLook(place.current, () => plot.current, draw);
  }, [days, series]);
  const move = (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const next = Math.min(days.length - 1, Math.max(0, at + step));
    plot.current.setCursor({ left: plot.current.valToPos(next, "x"), top: 1 });
    setIndex(next);
  };
  return html`
    <figure class="bars">
      <div
        ref=${place} class="plot" role="slider" tabindex="0" aria-label=${summary} aria-valuemin="0"
        aria-valuemax=${days.length - 1} aria-valuenow=${at} aria-valuetext=${spoken(days, series, text, at)} onKeyDown=${move}
      ></div>
      <figcaption>
        <p class="day">${days[at]}</p>
        <ul class="legend">
          ${series.map(
            ({ name, values, isRest }, place) => html`
              <li key=${name}><span class="swatch swatch-${isRest ? "rest" : place + 1}" aria-hidden="true"></span>
                <span class="name" dir="auto">${name}</span> <span class="amount">${text(values[at])}</span></li>
            `,
          )}
        </ul>
      </figcaption>
    </figure>
  `;
}

function spoken(days, series, text, index) {
  return `${days[index]}: ${series.map(({ name, values }) => `${name} ${text(values[index])}`).join(", ")}`;
}

function drawn(element, { days, series, text, onDay }) {
  const color = (name) => getComputedStyle(element).getPropertyValue(name).trim();
  const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
  const bars = uPlot.paths.bars({ size: [0.85, 48] });
  const shown = series.map(({ name, isRest }, place) => ({
    label: name, fill: color(isRest ? "--series-rest" : `--series-${place + 1}`), stroke: color("--surface"), width: 1,
    paths: bars, points: { show: false },
  }));
  const options = {
    width: element.clientWidth, height: HEIGHT, legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: { x: { time: false, range: [-0.6, days.length - 0.4] }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] } },
    axes: [
      { ...axis, incrs: [1, 2, 5, 7, 14, 30, 60, 90, 180, 365], space: 70, grid: { show: false }, values: (_, at) => at.map((each) => labelOf(days, each)) },
      { ...axis, size: 70, values: (_, at) => at.map(text) },
    ],
    series: [{}, ...shown.toReversed()],
    hooks: { setCursor: [(plot) => plot.cursor.idx != null && onDay(plot.cursor.idx)] },
  };
  // the highest bars are drawn first, and the lower ones over them
  return new uPlot(options, [days.map((_, place) => place), ...stacked(series).toReversed()], element);
}

const labelOf = (days, at) => (Number.isInteger(at) && days[at] ? days[at].slice(days.length > 300 ? 0 : 5) : "");

// Follow the size of the place and the colors of the page.
function watchLook(element, plotOf, draw) {
  const size = new ResizeObserver(() => plotOf()?.setSize({ width: element.clientWidth, height: HEIGHT }));
  const theme = new MutationObserver(draw);
  size.observe(element);
  theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  dark.addEventListener("change", draw);
  return () => {
    size.disconnect();
    theme.disconnect();
    dark.removeEventListener("change", draw);
    plotOf()?.destroy();
  };
}
