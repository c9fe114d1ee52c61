/** From names to backends. Kernel packages are imported only when one of theirs is asked for. */
import { availableParallelism } from "node:os";
import type { CpuIsa } from "@thermocline/cpu-kernels";
import {
  type Backend,
  BackendUnavailableError,
  type DeviceId,
  InvalidPlanError,
  InvalidRequestError,
  type PlanDevice,
  ThermoclineError,
} from "@thermocline/spec";

/** `auto`: cpu where its addon loads, else reference, which a notice says. */
export type BackendName = "auto" | "cpu" | "reference";
export interface BackendOptions {
  readonly backend?: BackendName;
  /** Pins the CPU backend to an instruction set; default: the fastest that the processor runs. */
  readonly isa?: CpuIsa;
  /** Threads of the CPU backend; default: as many as this process may run at once. The reference backend has one. */
  readonly threads?: number;
  /** Called with one sentence when something other than the obvious was chosen. */
  readonly onNotice?: (notice: string) => void;
}

/** The devices of a model without a plan: one. @throws BackendUnavailableError, InvalidRequestError. */
export async function createBackend(options: BackendOptions): Promise<Backend> {
  const { backend = "auto", isa, onNotice } = options;
  const threads = checkedThreads(options.threads) ?? availableParallelism();
  if (backend === "reference") {
    if (isa !== undefined)
      throw new InvalidRequestError("isa", isa, "the reference backend has no instruction sets", "leave isa out, or use the cpu backend");
    return createReference("reference:0");
  }
  if (backend !== "cpu" && backend !== "auto")
    throw new InvalidRequestError("backend", backend, `"${backend}" is no backend`, "use auto, cpu or reference");
  try {
    return await createCpu("cpu:0", threads, isa);
  } catch (error) {
    // Who pins an instruction set wants the addon.
    if (backend === "cpu" || isa !== undefined || !isUnavailable(error)) throw error;
    onNotice?.('the CPU addon is not available, running on the reference backend, which is far slower (asking for backend "cpu" says why)');
    return createReference("reference:0");
  }
}

/**
 * The devices of a plan, in its order. CPU devices without a number of threads share the processor evenly.
 * @throws BackendUnavailableError, InvalidPlanError, InvalidRequestError. What was made before is disposed of then.
 */
export async function createPlanBackends(devices: Readonly<Record<DeviceId, PlanDevice>>, options: BackendOptions): Promise<Backend[]> {
  const { backend = "auto", isa } = options;
  if (backend !== "auto")
    throw new InvalidRequestError(
      "backend",
      backend,
      "the plan says which backends run its devices",
      "leave backend out, or edit the plan",
    );
  const undecided = Object.values(devices).filter((device) => device.backend === "cpu" && device.threads === undefined).length;
  const evenThreads = Math.max(1, Math.floor(availableParallelism() / Math.max(1, undecided)));
  const threads = checkedThreads(options.threads) ?? evenThreads;
  const backends: Backend[] = [];
  try {
    for (const [id, device] of Object.entries(devices)) backends.push(await createPlanBackend(id, device, device.threads ?? threads, isa));
    return backends;
  } catch (error) {
    for (const made of backends) await made[Symbol.asyncDispose]();
    throw error;
  }
}

async function createPlanBackend(id: DeviceId, { backend }: PlanDevice, threads: number, isa?: CpuIsa): Promise<Backend> {
  switch (backend) {
    case "cpu":
      return createCpu(id, threads, isa);
    case "reference":
      return createReference(id);
    case "cuda":
      return createCuda();
    default:
      throw new InvalidPlanError(`device ${id}`, `names the backend "${backend}", which does not exist`, "use cpu, reference or cuda");
  }
}

async function createCpu(id: DeviceId, threads: number, isa?: CpuIsa): Promise<Backend> {
  const { createCpuBackend } = await import("@thermocline/cpu-kernels");
  return createCpuBackend({ id, threads, ...(isa === undefined ? {} : { isa }) });
}

async function createReference(id: DeviceId): Promise<Backend> {
  const { createReferenceBackend } = await import("@thermocline/cpu-kernels/reference");
  return createReferenceBackend({ id });
}

async function createCuda(): Promise<Backend> {
  const cuda = await import("@thermocline/cuda-kernels").catch((cause: unknown) => {
    throw new BackendUnavailableError("cuda", [String(cause)], "install @thermocline/cuda-kernels, or plan without this device");
  });
  return cuda.createCudaBackend();
}

function isUnavailable(error: unknown): error is BackendUnavailableError {
  return ThermoclineError.isInstance(error) && error.code === "backend-unavailable";
}

function checkedThreads(threads: number | undefined): number | undefined {
  if (threads === undefined || (Number.isSafeInteger(threads) && threads >= 1)) return threads;
  throw new InvalidRequestError("threads", threads, `is ${threads}`, "give a positive whole number");
}
