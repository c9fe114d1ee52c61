/** Model files of any size that take no room: a header, and after it a hole in place of the weights. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { encodeGguf, type GgufTensor, type GgufValue } from "@thermocline/loader-gguf";

/** A file but for its tensors' data. */
export interface ModelContent {
  readonly metadata: Iterable<readonly [key: string, value: GgufValue]>;
  readonly tensors: readonly Omit<GgufTensor, "data">[];
}

/** In a folder of its own, which goes with it. */
export class SparseModels implements Disposable {
  readonly #folder = mkdtempSync(path.join(tmpdir(), "thermocline-sparse-"));

  /** All weights are 0. Gives the file's path. */
  write(name: string, { metadata, tensors }: ModelContent): string {
    const { header, fileByteLength } = encodeGguf({ metadata, tensors: tensors.map((tensor) => ({ ...tensor, data: undefined })) });
    const target = path.join(this.#folder, `${name}.gguf`);
    const file = openSync(target, "w");
    writeSync(file, header);
    ftruncateSync(file, fileByteLength);
    closeSync(file);
    return target;
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
