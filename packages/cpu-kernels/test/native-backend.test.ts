import { availableParallelism } from "node:os";
import {
  type Backend,
  BackendUnavailableError,
  DeviceFaultError,
  InvalidCommandError,
  InvalidRequestError,
  type MemoryLedger,
  samplingColumns,
} from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { cpuTraits, createCpuBackend, supportedIsas } from "../src/index.js";
import { allocate, bindings, floats, hasAddon, isas, ledgerFor, plain, readFloats, record, reserve } from "./native-fixture.js";

/** What `sample` takes beside logits and workspace, for one row and one edit. */
function samplingTensors(ledger: MemoryLedger, backend: Backend) {
  return {
    params: plain(allocate(ledger, backend, 4 * samplingColumns.length), [1, samplingColumns.length]),
    randomState: plain(allocate(ledger, backend, 8), [1, 2], "i32"),
    editIds: plain(allocate(ledger, backend, 4), [1, 1], "i32"),
    editValues: plain(allocate(ledger, backend, 8), [1, 2]),
    surpriseLimits: plain(allocate(ledger, backend, 4), [1]),
  };
}

describe.runIf(hasAddon)("the CPU backend", () => {
  it("runs a list off the JavaScript thread and reads what it left", async () => {
    const ledger = ledgerFor("cpu:0");
    await using backend = createCpuBackend({ threads: 2 });
    const sum = plain(allocate(ledger, backend, 64), [2, 8]);
    const addend = plain(allocate(ledger, backend, 64), [2, 8]);
    backend.write(addend, floats(Array.from({ length: 16 }, (_, index) => index)));
    const list = record(backend, (encoder) => {
      encoder.fill(sum, 0.5);
      encoder.add(sum, sum, addend);
    });
    const { done } = backend.submit(list, bindings());
    const values = readFloats(backend, sum);
    expect(await done).toEqual({ outcome: "completed" });
    expect([...(await values)]).toEqual(Array.from({ length: 16 }, (_, index) => index + 0.5));
  });

  it("supplies the dimensions that a step's bindings name", async () => {
    const ledger = ledgerFor("cpu:0");
    await using backend = createCpuBackend({ threads: 2 });
    const all = plain(allocate(ledger, backend, 4 * 64 * 8), [64, 8]);
    const list = record(backend, (encoder) => encoder.fill({ ...all, shape: ["numTokens", 8] }, 3));
    for (const numTokens of [0, 1, 7, 64]) {
      backend.write(all, new Uint8Array(4 * 64 * 8));
      await backend.submit(list, bindings({ numTokens })).done;
      expect((await readFloats(backend, all)).filter((value) => value === 3)).toHaveLength(numTokens * 8);
    }
  });

  it("fails a step whose tensor leaves its buffer, names it, and stays usable", async () => {
    const ledger = ledgerFor("cpu:0");
    await using backend = createCpuBackend({ threads: 2 });
    const out = plain(allocate(ledger, backend, 256), ["numTokens", 8]);
    const list = record(backend, (encoder) => {
      encoder.fill({ ...out, shape: [1, 8] }, 1);
      encoder.fill(out, 2);
    });
    const fault = await backend.submit(list, bindings({ numTokens: 9 })).done.catch((error: unknown) => error);
    expect(fault).toBeInstanceOf(DeviceFaultError);
    expect(fault).toMatchObject({ device: "cpu:0", commandIndex: 1, op: "fill" });
    expect((fault as DeviceFaultError).detail).toBe("out needs 288 bytes at this step's bindings, its buffer has 256 from its offset on");
    await expect(backend.submit(list, bindings({ numTokens: 2 ** 31 - 1 })).done).rejects.toThrow(DeviceFaultError);
    expect(await backend.submit(list, bindings({ numTokens: 8 })).done).toEqual({ outcome: "completed" });
  });

  it("names the value and the limit when a kernel refuses what it read", async () => {
    const ledger = ledgerFor("cpu:0");
    await using backend = createCpuBackend({ threads: 1 });
    const table = plain(allocate(ledger, backend, 4 * 4 * 8), [4, 8]);
    const tokenIds = plain(allocate(ledger, backend, 4), [1], "i32");
    const out = plain(allocate(ledger, backend, 32), [1, 8]);
    backend.write(tokenIds, new Uint8Array(Int32Array.of(400).buffer));
    const list = record(backend, (encoder) => encoder.embed(out, table, tokenIds));
    const fault = await backend.submit(list, bindings()).done.catch((error: unknown) => error);
    expect(fault).toMatchObject({ code: "device-fault", commandIndex: 0, op: "embed" });
    expect((fault as DeviceFaultError).detail).toMatch(/value 400, limit 4/);
  });

  it("refuses at recording what its kernels cannot read", async () => {
    const ledger = ledgerFor("cpu:0");
    await using backend = createCpuBackend({ threads: 1 });
    await using other = createCpuBackend({ threads: 1 });
    const buffer = allocate(ledger, backend, 4096);
    const out = plain(buffer, [1, 16]);
    const x = plain(buffer, [1, 32]);
    const packed = { ...plain(buffer, [16, 32], "q8_0"), layout: "packed" as const };
    const encoder = backend.createEncoder();
    expect(() => encoder.matmul(out, x, { ...packed, layout: "plain" })).toThrow(InvalidCommandError);
    expect(() => encoder.matmul(out, x, packed)).toThrow(/workspace/);
    expect(() => encoder.add(out, out, { ...out, layout: "packed" })).toThrow(/packed/);
    expect(() => encoder.fill(plain(allocate(ledger, other, 64), [1, 16]), 0)).toThrow(/another backend/);
  });

  it("refuses a workspace that is too small for the step", async () => {
    const ledger = ledgerFor("cpu:0");
    await using backend = createCpuBackend({ threads: 1 });
    const byteLength = 544 * 1;
    const weight = { ...plain(allocate(ledger, backend, byteLength), [16, 32], "q8_0"), layout: "packed" as const };
    const out = plain(allocate(ledger, backend, 4 * 16 * 4), ["numTokens", 16]);
    const x = plain(allocate(ledger, backend, 4 * 32 * 4), ["numTokens", 32]);
    const workspace = plain(allocate(ledger, backend, 2 * 40), [80], "i8");
    const list = record(backend, (encoder) => encoder.matmul(out, x, weight, { workspace }));
    expect(await backend.submit(list, bindings({ numTokens: 2 })).done).toEqual({ outcome: "completed" });
    await expect(backend.submit(list, bindings({ numTokens: 3 })).done).rejects.toThrow("workspace needs 120 bytes, it has 80");
  });

  it.each(["f16", "q4_0", "q6_k"] as const)(
    "takes the workspace of expertMatmul with %s that the traits ask for, and no byte less",
    async (dtype) => {
      const ledger = ledgerFor("cpu:0");
      await using backend = createCpuBackend({ threads: 2 });
      const [tokens, used, columns, innerSize, slots, experts] = [3, 2, 20, 256, 4, 7];
      const shape = [slots, columns, innerSize];
      const info = { name: "blk.0.ffn_up_exps.weight", dtype, shape, shard: 0, range: { offset: 0, byteLength: 0 } };
      const weight = {
        ...plain(allocate(ledger, backend, backend.traits.packedByteLength(info)), shape, dtype),
        layout: "packed" as const,
      };
      const out = plain(allocate(ledger, backend, 4 * tokens * used * columns), [tokens, used, columns]);
      const x = plain(allocate(ledger, backend, 4 * tokens * innerSize), [tokens, innerSize]);
      const expertIds = plain(allocate(ledger, backend, 4 * tokens * used), [tokens, used], "i32");
      const expertSlots = plain(allocate(ledger, backend, 4 * experts), [experts], "i32");
      const needed = backend.traits.workspaceByteLength({ op: "expertMatmul", dtype, rows: tokens * used, columns: innerSize, experts });
      const submitWith = (byteLength: number) => {
        const workspace = plain(allocate(ledger, backend, byteLength), [byteLength], "i8");
        const list = record(backend, (encoder) => encoder.expertMatmul(out, x, weight, { expertIds, expertSlots, workspace }));
        return backend.submit(list, bindings()).done;
      };
      expect(await submitWith(needed)).toEqual({ outcome: "completed" });
      await expect(submitWith(needed - 1)).rejects.toThrow(`workspace needs ${needed} bytes, it has ${needed - 1}`);
    },
  );

  it("takes the workspace of sample that the traits ask for, and no byte less", async () => {
    const ledger = ledgerFor("cpu:0");
    await using backend = createCpuBackend({ threads: 3 });
    const logits = plain(allocate(ledger, backend, 4 * 50), [1, 50]);
    const args = samplingTensors(ledger, backend);
    const needed = backend.traits.workspaceByteLength({ op: "sample", dtype: "f32", rows: 1, columns: 50 });
    const submitWith = (byteLength: number) => {
      const workspace = plain(allocate(ledger, backend, byteLength), [byteLength], "i8");
      const list = record(backend, (encoder) =>
        encoder.sample(plain(allocate(ledger, backend, 4), [1], "i32"), logits, { ...args, workspace }),
      );
      return backend.submit(list, bindings()).done;
    };
    expect(await submitWith(needed)).toEqual({ outcome: "completed" });
    await expect(submitWith(needed - 1)).rejects.toThrow(`workspace needs ${needed} bytes, it has ${needed - 1}`);
  });

  it("refuses a workspace in imported memory that does not begin at a multiple of 64 bytes", async () => {
    const ledger = ledgerFor("cpu:0");
    await using backend = createCpuBackend({ threads: 1 });
    const memory = new Uint8Array(new SharedArrayBuffer(4096));
    const logits = plain(allocate(ledger, backend, 4 * 8), [1, 8]);
    const args = samplingTensors(ledger, backend);
    const recordWith = (view: Uint8Array) =>
      record(backend, (encoder) => {
        const workspace = plain(backend.importHost(view, reserve(ledger, "cpu:0", view.length)), [64], "i8");
        encoder.sample(plain(allocate(ledger, backend, 4), [1], "i32"), logits, { ...args, workspace });
      });
    // The engine aligns shared memory to 8 bytes at least: of 8 places 8 bytes apart, one is aligned to 64.
    const refusals = Array.from({ length: 8 }, (_, place) => {
      try {
        recordWith(memory.subarray(8 * place, 8 * place + 64))[Symbol.dispose]();
        return "";
      } catch (error) {
        return (error as Error).message;
      }
    });
    expect(refusals.filter((message) => message.includes("sample) has a workspace at an address"))).toHaveLength(7);
    expect(refusals.filter((message) => message === "")).toHaveLength(1);
  });

  it("injects the fault that a submission asks for", async () => {
    const ledger = ledgerFor("cpu:0");
    await using backend = createCpuBackend({ threads: 1 });
    const out = plain(allocate(ledger, backend, 64), [1, 16]);
    const list = record(backend, (encoder) => {
      encoder.fill(out, 1);
      encoder.fill(out, 2);
    });
    await expect(backend.submit(list, bindings(), { faultAtCommand: 1 }).done).rejects.toMatchObject({ commandIndex: 1, op: "fill" });
    expect((await readFloats(backend, out))[0]).toBe(1);
  });

  it("gives every byte back to the ledger and to the system", async () => {
    const ledger = ledgerFor("cpu:0");
    const backend = createCpuBackend({ threads: 1 });
    const small = allocate(ledger, backend, 100);
    const large = allocate(ledger, backend, 5 << 20);
    expect(backend.statistics().allocatedBytes).toBe(100 + (5 << 20));
    expect([...(await readFloats(backend, plain(large, [5 << 18]))).slice(0, 4)]).toEqual([0, 0, 0, 0]);
    const list = record(backend, (encoder) => encoder.fill(plain(small, [25]), 1));
    small[Symbol.dispose]();
    small[Symbol.dispose]();
    expect(ledger.report()).toHaveLength(1);
    expect(backend.statistics().allocatedBytes, "a list still uses the bytes").toBe(100 + (5 << 20));
    expect(await backend.submit(list, bindings()).done).toEqual({ outcome: "completed" });
    list[Symbol.dispose]();
    list[Symbol.dispose]();
    expect(backend.statistics().allocatedBytes).toBe(5 << 20);
    await backend[Symbol.asyncDispose]();
    expect(backend.statistics().allocatedBytes).toBe(0);
    expect(ledger.report()).toEqual([]);
    large[Symbol.dispose]();
  });

  it("refuses an allocation that the system does not give", async () => {
    const ledger = ledgerFor();
    ledger.setBudget("cpu:0", 2 ** 52);
    await using backend = createCpuBackend({ threads: 1 });
    expect(() => allocate(ledger, backend, 2 ** 50)).toThrow(expect.objectContaining({ code: "insufficient-memory", needBytes: 2 ** 50 }));
  });

  it("sees imported host memory as its owner does", async () => {
    const ledger = ledgerFor("cpu:0");
    await using backend = createCpuBackend({ threads: 2 });
    const memory = new Float32Array(new SharedArrayBuffer(64));
    const buffer = backend.importHost(new Uint8Array(memory.buffer), reserve(ledger, "cpu:0", 64));
    expect(backend.statistics().allocatedBytes).toBe(0);
    const list = record(backend, (encoder) => encoder.fill(plain(buffer, [16]), 7));
    buffer[Symbol.dispose]();
    await backend.submit(list, bindings()).done;
    expect([...memory]).toEqual(new Array(16).fill(7));
  });

  it("crosses once for a submission and once for a read", async () => {
    const ledger = ledgerFor("cpu:0");
    await using backend = createCpuBackend({ threads: 1 });
    const out = plain(allocate(ledger, backend, 64), [1, 16]);
    const list = record(backend, (encoder) => {
      for (let index = 0; index < 500; index++) encoder.fill(out, index);
    });
    const before = backend.statistics();
    for (let step = 0; step < 10; step++) backend.submit(list, bindings());
    await readFloats(backend, out);
    const after = backend.statistics();
    expect(after.crossings - before.crossings).toBe(11);
    expect(after.submissions - before.submissions).toBe(10);
  });

  it("refuses use after disposal, of the backend and of a buffer", async () => {
    const ledger = ledgerFor("cpu:0");
    const backend = createCpuBackend({ threads: 1 });
    const buffer = allocate(ledger, backend, 64);
    const list = record(backend, (encoder) => encoder.fill(plain(buffer, [16]), 1));
    buffer[Symbol.dispose]();
    expect(() => backend.createEncoder().fill(plain(buffer, [16]), 1)).toThrow(/another backend|disposed/);
    expect(() => backend.write(plain(buffer, [16]), new Uint8Array(64))).toThrow(/disposed/);
    await backend[Symbol.asyncDispose]();
    await backend[Symbol.asyncDispose]();
    expect(() => backend.createEncoder()).toThrow(/disposed/);
    expect(() => backend.submit(list, bindings())).toThrow(/disposed/);
    expect(() => backend.allocate(reserve(ledger, "cpu:0", 1))).toThrow(/disposed/);
  });

  it("rejects reads that disposal overtakes, and ends the submissions as cancelled", async () => {
    const ledger = ledgerFor("cpu:0");
    const backend = createCpuBackend({ threads: 2 });
    const out = plain(allocate(ledger, backend, 4 << 20), [1024, 1024]);
    const list = record(backend, (encoder) => {
      for (let index = 0; index < 20_000; index++) encoder.fill(out, index);
    });
    const first = backend.submit(list, bindings());
    const second = backend.submit(list, bindings());
    const read = readFloats(backend, out).catch((error: unknown) => error);
    await backend[Symbol.asyncDispose]();
    expect(await first.done).toEqual({ outcome: "cancelled" });
    expect(await second.done).toEqual({ outcome: "cancelled" });
    expect(await read).toMatchObject({ name: "AbortError" });
    first.cancel();
    expect(ledger.report()).toEqual([]);
  });

  it("refuses thread counts and instruction sets that cannot be", () => {
    for (const threads of [0, -1, 1.5, 5000]) expect(() => createCpuBackend({ threads })).toThrow(InvalidRequestError);
    expect(() => createCpuBackend({ isa: "neon" as never })).toThrow(BackendUnavailableError);
    expect(() => createCpuBackend({ isa: "neon" as never })).toThrow(isas.join(", "));
  });

  it("describes itself, and sizes the sampling workspace for its threads", async () => {
    expect(supportedIsas()).toContain("scalar");
    await using backend = createCpuBackend({ id: "cpu:7", threads: 3, isa: "scalar" });
    expect(backend.device).toMatchObject({ id: "cpu:7", kind: "cpu", name: "CPU, portable, 3 threads" });
    const query = { op: "sample", dtype: "f32", rows: 4, columns: 1000 } as const;
    expect(backend.traits.workspaceByteLength(query)).toBe(3 * 1000 * 8);
    expect(cpuTraits.workspaceByteLength(query)).toBe(availableParallelism() * 1000 * 8);
  });
});
