// Graphs over time, drawn by uPlot; every release is a line across each of them.

import { element } from "./view.js";
import { UNITS, inUnit, onAxis } from "./format.js";

const COLOURS = ["--line-1", "--line-2", "--line-3", "--line-4", "--line-5", "--line-6"];
const HEIGHT = 170;
const drawn = new Map();

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function prepare(panels) {
  const place = document.getElementById("panels");
  place.replaceChildren(...panels.map((panel) => {
    const title = [panel.title, panel.unit in UNITS ? "" : panel.unit, panel.only].filter(Boolean).join(", ");
    return element("figure", { id: `panel-${panel.name}` },
      element("figcaption", {}, title, " ", element("a", { href: "/ops/logs", class: "jump" }, "logs of this time")),
      element("div", { class: "graph" }));
  }));
}

// The link below a graph goes to the logs of what it shows: a part of it, once somebody has chosen one with the pointer.
function jumps(panel) {
  return { hooks: { setScale: [(plot, scale) => {
    const { min, max } = plot.scales.x;
    if (scale !== "x" || !(max > min)) return;
    document.querySelector(`#panel-${panel.name} .jump`).href = `/ops/logs?from=${Math.floor(min)}&to=${Math.ceil(max)}`;
  }] } };
}

function releases(marks) {
  return { hooks: { draw: [(plot) => {
    const { ctx: context, bbox: box } = plot;
    context.save();
    context.strokeStyle = colour("--quiet");
    context.setLineDash([4, 4]);
    for (const { at } of marks) {
      const x = plot.valToPos(at, "x", true);
      if (x < box.left || x > box.left + box.width) continue;
      context.beginPath();
      context.moveTo(x, box.top);
      context.lineTo(x, box.top + box.height);
      context.stroke();
    }
    context.restore();
  }] } };
}

export function draw(panel, told, marks) {
  const place = document.querySelector(`#panel-${panel.name} .graph`);
  drawn.get(panel.name)?.destroy();
  drawn.delete(panel.name);
  place.replaceChildren();
  if (told.series.length === 0) {
    place.append(element("p", { class: "unknown" }, panel.only ? `No data (only ${panel.only}).` : "No data: not known."));
    return;
  }
  const axis = { stroke: colour("--text"), grid: { stroke: colour("--grid") }, ticks: { stroke: colour("--grid") } };
  const lines = told.series.map((each, number) => ({
    label: each.labels[panel.legend] ?? panel.title,
    stroke: colour(COLOURS[number % COLOURS.length]),
    width: 2,
    // Lines are told apart without colour too.
    dash: number < COLOURS.length ? undefined : [6, 3],
    // Without a pointer over the graph there is no moment to tell the value of.
    value: (_, value, __, place) => (place === null ? "" : inUnit(value, panel.unit)),
  }));
  const options = {
    width: Math.max(240, place.clientWidth),
    height: HEIGHT,
    plugins: [releases(marks), jumps(panel)],
    scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1] } },
    axes: [axis, { ...axis, size: 76, values: (_, values) => values.map((each) => onAxis(each, panel.unit)) }],
    series: [{}, ...lines],
  };
  drawn.set(panel.name, new uPlot(options, [told.times, ...told.series.map((each) => each.values)], place));
}

export function missing(panel, why) {
  const place = document.querySelector(`#panel-${panel.name} .graph`);
  drawn.get(panel.name)?.destroy();
  drawn.delete(panel.name);
  place.replaceChildren(element("p", { class: "unknown" }, `Not known: ${why}`));
}
