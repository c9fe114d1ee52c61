/** Host devices (`cpu:0`, `cpu:1`, `reference:0`) have budgets of their own and one physical memory: both bound what they reserve. */
import { totalmem } from "node:os";
import { type DeviceId, InsufficientMemoryError, type MemoryLedger, type MemoryRequest } from "@thermocline/spec";

/** Left to the rest of the machine: this or a tenth of the memory, whichever is more. */
const smallestReserveBytes = 1024 ** 3;

/** Bytes that models may take of this machine's memory, or of the container's where that is less. */
export function hostBudgetBytes(): number {
  // 0 or an astronomic number where nothing constrains the process.
  const constrainedBytes = process.constrainedMemory?.() || Number.POSITIVE_INFINITY;
  const totalBytes = Math.min(totalmem(), constrainedBytes);
  return Math.max(0, Math.floor(totalBytes - Math.max(smallestReserveBytes, totalBytes / 10)));
}

/** A ledger that refuses what its host devices cannot hold together. */
export interface HostLedger extends MemoryLedger {
  /** Counts a device among those that share the host's memory. */
  addHostDevice(device: DeviceId): void;
}

const hostLedgers = new WeakMap<MemoryLedger, HostLedger>();

/** The host ledger over a ledger: always the same one, so that all models of a shared ledger are counted. */
export function hostLedgerOf(ledger: MemoryLedger): HostLedger {
  const known = hostLedgers.get(ledger);
  if (known !== undefined) return known;
  const created = createHostLedger(ledger, hostBudgetBytes());
  hostLedgers.set(ledger, created);
  hostLedgers.set(created, created);
  return created;
}

function createHostLedger(ledger: MemoryLedger, budgetBytes: number): HostLedger {
  const hostDevices = new Set<DeviceId>();
  const sumOf = (requests: readonly MemoryRequest[]) => requests.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const onHost = <Request extends MemoryRequest>(requests: readonly Request[]) => requests.filter(({ device }) => hostDevices.has(device));
  return {
    addHostDevice: (device) => void hostDevices.add(device),
    setBudget: (device, bytes) => ledger.setBudget(device, bytes),
    budget: (device) => ledger.budget(device),
    available: (device) => ledger.available(device),
    report: () => ledger.report(),
    reserve(requests) {
      const holders = onHost(ledger.report());
      const needBytes = sumOf(onHost(requests));
      const haveBytes = budgetBytes - sumOf(holders);
      if (needBytes > haveBytes) {
        const devices = [...hostDevices].join(", ");
        const cure = "lower the context length or the batch, use a smaller model, or dispose of a model that is open";
        throw new InsufficientMemoryError(`host memory (${devices})`, needBytes, Math.max(0, haveBytes), holders, cure);
      }
      return ledger.reserve(requests);
    },
  };
}
