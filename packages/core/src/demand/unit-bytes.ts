/** What a unit takes on a device: whole, or any blocks of its rows. */
import type { BackendTraits, DemandDevice, ModelSource, OffloadUnit, TensorSlice, UnitBytes } from "@thermocline/spec";
import { alignUp } from "../graph/arena-plan.js";
import type { ConstantUse, WeightUse } from "../graph/draft-buffer.js";
import type { GraphDraft } from "../graph/graph-draft.js";
import { groupWeights, kvCacheBlockOf } from "../graph/model-graph.js";
import { boundOfParts } from "./part-bound.js";

/** Drafts with the device in two roles: everything lies there; and of each unit with rows some, or all where they are one block. */
export interface UnitDrafts {
  readonly whole: GraphDraft;
  readonly divided: GraphDraft;
}

export class UnitMeter {
  readonly #traits: BackendTraits;
  readonly #wholeBytes: ReadonlyMap<string, number>;
  readonly #partUses: ReadonlyMap<string, readonly (WeightUse | ConstantUse)[]>;
  readonly #kvCaches: ReadonlyMap<string, Pick<UnitBytes, "kvCacheBytes" | "kvBytesPerToken">>;
  readonly #dividedBytes = new Map<string, { readonly fixedBytes: number; readonly bytesPerBlock: number }>();

  constructor(
    private readonly source: Pick<ModelSource, "tensors">,
    private readonly drafts: UnitDrafts,
    device: DemandDevice,
  ) {
    this.#traits = device.traits;
    const traits = new Map([[device.id, device.traits]]);
    this.#wholeBytes = new Map(groupWeights(drafts.whole, traits).map(({ unit, byteLength }) => [unit, byteLength]));
    const partUses = new Map<string, (WeightUse | ConstantUse)[]>();
    for (const use of [...drafts.divided.weights.values(), ...drafts.divided.constants.values()]) {
      if (use.device !== device.id) continue;
      const uses = partUses.get(use.unit) ?? [];
      partUses.set(use.unit, uses);
      uses.push(use);
    }
    this.#partUses = partUses;
    this.#kvCaches = new Map(
      drafts.whole.kvCaches.map((use) => {
        const kvBytesPerToken = (use.keyByteLength + use.valueByteLength) / use.numTokens;
        return [use.unit, { kvCacheBytes: kvCacheBlockOf(use, device.traits.alignment).byteLength, kvBytesPerToken }];
      }),
    );
  }

  /** Of weights that a part of the unit takes whole, however many rows it has. */
  undividedBytes(unit: string): number {
    return sum((this.#partUses.get(unit) ?? []).filter((use) => !isSliced(use)).map((use) => this.#padded(use.packedByteLength)));
  }

  bytesOf(unit: string, rows: OffloadUnit["rows"]): UnitBytes {
    const reused = [...(this.drafts.whole.reusedWeights.get(unit) ?? [])];
    const sharedBytes = sum(reused.map(({ packedByteLength }) => this.#padded(packedByteLength)));
    const kvCache = this.#kvCaches.get(unit) ?? { kvCacheBytes: 0, kvBytesPerToken: 0 };
    return {
      weightBytes: (this.#wholeBytes.get(unit) ?? 0) + sharedBytes,
      ...kvCache,
      ...(rows === undefined ? {} : { part: this.#partBytes(unit, rows) }),
      ...(sharedBytes === 0 ? {} : { shared: { unit: reused[0]!.unit, byteLength: sharedBytes } }),
    };
  }

  #partBytes(unit: string, { count, blockSize }: NonNullable<OffloadUnit["rows"]>): NonNullable<UnitBytes["part"]> {
    const divided = (this.#partUses.get(unit) ?? []).filter(isSliced);
    const key = JSON.stringify([count, blockSize, ...divided.map(({ dtype, shape, slices }) => [dtype, shape, slices])]);
    let known = this.#dividedBytes.get(key);
    if (known === undefined) {
      known = boundOfParts(count / blockSize, this.#traits.alignment, (blocks) =>
        sum(
          divided.map((use) =>
            this.#padded(this.#traits.packedByteLength(this.source.tensors.get(use.name)!, firstRows(use, blocks * blockSize))),
          ),
        ),
      );
      this.#dividedBytes.set(key, known);
    }
    return { fixedBytes: this.undividedBytes(unit) + known.fixedBytes, bytesPerBlock: known.bytesPerBlock };
  }

  #padded(byteLength: number): number {
    return alignUp(byteLength, this.#traits.alignment);
  }
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

type SlicedUse = WeightUse & { readonly slices: readonly [TensorSlice] };

const isSliced = (use: WeightUse | ConstantUse): use is SlicedUse => "slices" in use && use.slices.length > 0;

function firstRows({ slices: [{ axis }] }: SlicedUse, count: number): readonly TensorSlice[] {
  return [{ axis, ranges: [[0, count]] }];
}
