/** The memory map of a plan as one picture. */
import type { OffloadPlan } from "@thermocline/spec";
import type { ShownClass } from "../class-style.js";
import { classStyles } from "../class-style.js";
import { layoutOf, type PlanLayout } from "../plan-layout.js";
import { conditionsOf, titleOf } from "../plan-title.js";
import { formatBytes, formatRate, formatSeconds, formatShare } from "../quantities.js";
import { drawLayers } from "./draw-layers.js";
import { type Drawn, drawMemory } from "./draw-memory.js";
import { type Heat, heatOf } from "./heat.js";
import { mapStyle } from "./map-style.js";
import { scaleOf } from "./memory-tape.js";
import { escapeXml, label, px, rectangle, shorten } from "./svg-text.js";

const width = 1000;
const margin = 28;
const inner = width - 2 * margin;

/**
 * SVG of 1000 units' width: devices to one scale, classes in colours, layers within weights and KV cache, hot rows strong and cold ones
 * pale, free and reserved space, then which share of each layer lies where. Details are tooltips. It depends on nothing outside itself.
 */
export function drawPlan(plan: OffloadPlan): string {
  const layout = layoutOf(plan);
  const heat = heatOf(layout);
  const parts: string[] = [];
  let y = margin + 12;
  const draw = (markup: string, height: number) => {
    parts.push(markup);
    y += height;
  };

  draw(label(margin, y, shorten(titleOf(plan), 90), "tc-title"), 12);
  for (const line of conditionsOf(plan)) draw(label(margin, y + 8, shorten(line, 140), "tc-quiet"), 17);
  const figures = figuresOf(plan);
  if (figures.length > 0) draw(drawFigures(figures, y + 16), 52);
  y += 14;
  if (layout.hasBytes) {
    draw(
      label(
        margin,
        y + 4,
        `Memory, ${formatBytes(scaleOf(layout.devices).bytesPerRow).replace(/\.0+(?= )/, "")} a row`,
        "tc-ink tc-strong",
      ),
      16,
    );
    const legend = drawLegend(layout, heat, y);
    draw(legend.markup, legend.height);
    const memory = drawMemory(layout, heat, margin, y, inner);
    draw(memory.markup, memory.height);
    for (const sentence of plan.estimates ?? [])
      draw(label(margin, y + 2, shorten(`Not exact: ${sentence}`, 150), "tc-quiet tc-small"), 16);
    y += 8;
  }
  if (layout.units.length > 0) {
    draw(label(margin, y + 8, "Share of each layer's weights by device", "tc-ink tc-strong"), 14);
    const layers = drawLayers(layout, heat, margin, y, inner);
    draw(layers.markup, layers.height);
  }
  const height = px(y + margin / 2);
  const name = escapeXml(titleOf(plan));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" class="tc-map" role="img" aria-label="Memory map: ${name}">`,
    mapStyle,
    rectangle({ x: 0, y: 0, width, height: Number(height) }, 'class="tc-ground" rx="8"'),
    ...parts,
    "</svg>",
  ].join("\n");
}

function figuresOf({ predicted, workload }: OffloadPlan): readonly (readonly [figure: string, name: string])[] {
  if (predicted === undefined) return [];
  const { prefillSeconds, secondsPerToken, workloadSeconds } = predicted;
  const formatTime = (seconds: number) => formatSeconds(seconds).replace(/us$/, "\u00b5s");
  const rate = secondsPerToken > 0 ? [[formatRate((workload?.batch ?? 1) / secondsPerToken), "tokens a second, predicted"] as const] : [];
  const whole = workloadSeconds === undefined ? [] : [[formatTime(workloadSeconds), "for the workload"] as const];
  return [...rate, [formatTime(prefillSeconds), "to the first token"], ...whole];
}

function drawFigures(figures: readonly (readonly [string, string])[], y: number): string {
  return figures
    .map(([figure, name], index) => {
      const x = margin + index * 210;
      return label(x, y + 10, figure, "tc-ink tc-figure") + label(x, y + 26, name, "tc-quiet tc-small");
    })
    .join("");
}

function drawLegend({ devices, units }: PlanLayout, heat: Heat, y: number): Drawn {
  const shown = new Set<string>(devices.flatMap(({ classes }) => classes.map(([name]) => name)));
  if (shown.has("weights") && units.some(({ kind }) => kind === "attention")) shown.add("attention");
  if (devices.some(({ freeBytes = 0 }) => freeBytes > 0)) shown.add("free");
  if (devices.some(({ reserveBytes }) => reserveBytes > 0)) shown.add("reserve");
  const swatches = ["attention", ...(Object.keys(classStyles) as ShownClass[])]
    .filter((name) => shown.has(name))
    .map((name) => {
      const text = legendTexts[name] ?? name;
      const markup = (x: number, top: number) =>
        rectangle({ x, y: top, width: 12, height: 12 }, `class="tc-${name}" rx="2"`) + label(x + 17, top + 10, text, "tc-ink tc-small");
      return { width: 36 + text.length * 6, markup };
    });
  const items = heat.isKnown ? [...swatches, heatScale(heat)] : swatches;
  let x = margin;
  let top = y;
  const drawn = items.map(({ width: itemWidth, markup }) => {
    if (x > margin && x + itemWidth > margin + inner) {
      x = margin;
      top += 20;
    }
    const text = markup(x, top);
    x += itemWidth;
    return text;
  });
  return { markup: drawn.join(""), height: top - y + 34 };
}

const legendTexts: Readonly<Record<string, string>> = {
  attention: "attention weights",
  weights: "other weights",
  "kv-cache": "KV cache",
  reserve: "kept free",
};

function heatScale({ coldest, hottest }: Heat) {
  const cold = `rows active for ${formatShare(coldest)}`;
  const begin = cold.length * 5.8 + 6;
  const markup = (x: number, top: number) => {
    const steps = [0.3, 0.44, 0.58, 0.72, 0.86, 1].map((opacity, index) =>
      rectangle({ x: x + begin + index * 9, y: top, width: 9, height: 12 }, `class="tc-weights" fill-opacity="${opacity}"`),
    );
    const hot = label(x + begin + 60, top + 10, `${formatShare(hottest)} of tokens`, "tc-ink tc-small");
    return label(x + begin - 6, top + 10, cold, "tc-ink tc-small", "end") + steps.join("") + hot;
  };
  return { width: begin + 150, markup };
}
