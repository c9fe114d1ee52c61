/** Layer by layer, which share of its weights lies on which device. */
import type { LayoutUnit, PlanLayout } from "../plan-layout.js";
import { formatShare } from "../quantities.js";
import type { Drawn } from "./draw-memory.js";
import { type Heat, weightsClass } from "./heat.js";
import { group, label, px, rectangle } from "./svg-text.js";

const stripHeight = 46;
const stripPitch = 56;
const gutter = 58;
const gapAtEnds = 6;

/** A strip for each device, a column for each layer; the columns of a layer over all devices are as high as one strip together. */
export function drawLayers({ devices, units }: PlanLayout, heat: Heat, x: number, y: number, width: number): Drawn {
  const places: LayoutUnit[][] = [];
  for (const unit of units) {
    const last = places.at(-1);
    if (last !== undefined && unit.layer >= 0 && last[0]!.layer === unit.layer) last.push(unit);
    else places.push([unit]);
  }
  const ends = places.filter((place) => place[0]!.layer < 0).length;
  const pitch = (width - gutter - ends * gapAtEnds) / Math.max(1, places.length);
  let left = x + gutter;
  const lefts = places.map(([unit]) => {
    if (unit!.layer < 0 && unit!.id !== "embedding") left += gapAtEnds;
    const own = left;
    left += pitch + (unit!.id === "embedding" ? gapAtEnds : 0);
    return own;
  });
  const strips = devices.map(({ id }, index) => {
    const top = y + 10 + index * stripPitch;
    const columns = places.map((place, column) => drawColumn(place, id, heat, lefts[column]!, top, pitch)).join("");
    return label(x + gutter - 8, top + stripHeight / 2 + 4, id, "tc-ink tc-small", "end") + columns;
  });
  const bottom = y + 10 + devices.length * stripPitch;
  return { markup: strips.join("") + axis(places, lefts, bottom, pitch), height: bottom - y + 18 };
}

function drawColumn(place: readonly LayoutUnit[], device: string, heat: Heat, left: number, top: number, pitch: number): string {
  const gap = Math.min(1.4, pitch / 5);
  const box = { x: left + gap / 2, width: Math.max(pitch - gap, 0.4) };
  // Where no bytes are stated every unit counts alike.
  const weighs = place.some(({ parts }) => parts.some(({ weightBytes }) => weightBytes > 0));
  const sizeOf = (part: LayoutUnit["parts"][number]) => (weighs ? part.weightBytes : part.share);
  const all = place.flatMap(({ parts }) => parts).reduce((sum, part) => sum + sizeOf(part), 0);
  let bottom = top + stripHeight;
  const own = place.flatMap(({ kind, parts }) => parts.flatMap((part) => (part.device === device ? [{ kind, part }] : [])));
  const shapes = own.map(({ kind, part }) => {
    const height = all > 0 ? (sizeOf(part) / all) * stripHeight : 0;
    bottom -= height;
    const look = `class="${weightsClass(kind)}" fill-opacity="${px(heat.opacityOf(part, kind))}"`;
    return rectangle({ ...box, y: bottom, height: Math.max(height - (height > 4 ? 0.8 : 0), 0.2) }, look);
  });
  const ground = rectangle({ ...box, y: top, height: stripHeight }, 'class="tc-free"');
  const share = all > 0 ? own.reduce((sum, { part }) => sum + sizeOf(part), 0) / all : 0;
  const facts = own.map(({ kind, part }) => (part.share < 1 ? `${formatShare(part.share)} of ${kind}` : kind)).join(", ");
  const name = place[0]!.layer < 0 ? place[0]!.id : `layer ${place[0]!.layer}`;
  return group(`${name}: ${formatShare(share)} on ${device}${facts === "" ? "" : ` (${facts})`}`, ground + shapes.join(""));
}

function axis(places: readonly (readonly LayoutUnit[])[], lefts: readonly number[], y: number, pitch: number): string {
  const step = [1, 2, 5, 10, 20, 50, 100].find((candidate) => candidate * pitch >= 26) ?? 200;
  const end = (lefts.at(-1) ?? 0) + pitch;
  const endsWithHead = places.at(-1)?.[0]?.id === "head";
  return places
    .map(([unit], index) => {
      const { layer, id } = unit!;
      const left = lefts[index]!;
      if (layer < 0) return label(left + pitch, y + 4, id, "tc-quiet tc-small", "end");
      // The head's name needs the room.
      const isFree = !endsWithHead || left + pitch < end - 44;
      return layer % step === 0 && isFree ? label(left + pitch / 2, y + 4, String(layer), "tc-quiet tc-small", "middle") : "";
    })
    .join("");
}
