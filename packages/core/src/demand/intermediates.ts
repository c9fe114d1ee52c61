/** What lives between the commands of a step, by name and place. */
import { type Command, type DeviceId, type Intermediate, tensorsOf } from "@thermocline/spec";
import type { ArenaPlan } from "../graph/arena-plan.js";
import type { DraftBuffer } from "../graph/draft-buffer.js";
import type { DraftEncoder } from "../graph/draft-encoder.js";
import type { HostLayout } from "../graph/host-memory.js";
import type { ModelGraph } from "../graph/model-graph.js";

/**
 * Of each device the variant of the graph that needs the largest arena, in the order of first use. Host regions are listed once for each
 * device that touches them, by their own names.
 */
export function listIntermediates({ drafts, devices, hostLayout }: ModelGraph): readonly Intermediate[] {
  return [...devices].flatMap(([device, { arenas, arenaByteLength }]) => {
    const [variant, arena] = [...arenas].find(([, { byteLength }]) => byteLength === arenaByteLength)!;
    return intermediatesOf(device, drafts.get(variant)!.encoders.get(device)!, arena, hostLayout);
  });
}

function intermediatesOf(
  device: DeviceId,
  { commands, units }: Pick<DraftEncoder, "commands" | "units">,
  arena: ArenaPlan,
  hostLayout: HostLayout,
): readonly Intermediate[] {
  const found = new Map<string | number, Intermediate>();
  commands.forEach((command: Command, index) => {
    for (const [, tensor] of tensorsOf(command)) {
      const { region, byteLength } = tensor.buffer as DraftBuffer;
      if (region.kind !== "activation" && region.kind !== "host") continue;
      const key = region.kind === "activation" ? region.id : region.region;
      const known = found.get(key);
      if (known !== undefined) {
        found.set(key, { ...known, lastUse: index });
        continue;
      }
      const uses = { firstUse: index, lastUse: index };
      if (region.kind === "activation") {
        const name = `${units[index]} ${command.op}`;
        found.set(key, { device, name, byteLength, region: "arena", byteOffset: arena.offsets[region.id]!, ...uses });
      } else {
        const { byteOffset, byteLength: regionByteLength } = hostLayout.regions.get(region.region)!;
        found.set(key, { device, name: region.region, byteLength: regionByteLength, region: "host", byteOffset, ...uses });
      }
    }
  });
  return [...found.values()];
}
