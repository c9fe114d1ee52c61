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

type Claim = Pick<MemoryRequest, "device" | "owner" | "byteLength">;

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

  /** Bytes of the host that are spoken for: by each owner on each device what it has, or is guaranteed where that is more. */
  function committedBytes(more: readonly Claim[], kind: "reserved" | "guaranteed"): number {
    const commitments = new Map<string, { reserved: number; guaranteed: number }>();
    const add = (claims: readonly Claim[], to: "reserved" | "guaranteed") => {
      for (const { device, owner, byteLength } of claims) {
        if (!hostDevices.has(device)) continue;
        const key = JSON.stringify([device, owner]);
        const known = commitments.get(key) ?? { reserved: 0, guaranteed: 0 };
        known[to] += byteLength;
        commitments.set(key, known);
      }
    };
    add(ledger.report(), "reserved");
    add(ledger.guarantees(), "guaranteed");
    add(more, kind);
    const standing = [...hostDevices].map((device) => ledger.standingReserve(device));
    return [...commitments.values()].reduce(
      (sum, { reserved, guaranteed }) => sum + Math.max(reserved, guaranteed),
      Math.max(0, ...standing),
    );
  }

  function check(claims: readonly Claim[], kind: "reserved" | "guaranteed"): void {
    const excessBytes = committedBytes(claims, kind) - budgetBytes;
    if (!(excessBytes > 0)) return;
    const onHost = claims.filter(({ device }) => hostDevices.has(device));
    // What goes to other devices is theirs to judge.
    if (onHost.length === 0) return;
    const needBytes = onHost.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const holders = ledger.report().filter(({ device }) => hostDevices.has(device));
    const cure = "lower the context length or the batch, use a smaller model, or dispose of a model that is open";
    const haveBytes = Number.isFinite(needBytes)
      ? Math.max(0, needBytes - excessBytes)
      : Math.max(0, budgetBytes - committedBytes([], kind));
    throw new InsufficientMemoryError(`host memory (${[...hostDevices].join(", ")})`, needBytes, haveBytes, holders, cure);
  }

  /** What the host has left, and what of that is kept for the owner on the device. */
  function availableOnHost(device: DeviceId, owner: string | undefined): number {
    if (!hostDevices.has(device)) return Number.POSITIVE_INFINITY;
    const bytesOf = (claims: readonly Claim[]) =>
      claims.reduce((sum, claim) => (claim.device === device && claim.owner === owner ? sum + claim.byteLength : sum), 0);
    return budgetBytes - committedBytes([], "reserved") + Math.max(0, bytesOf(ledger.guarantees()) - bytesOf(ledger.report()));
  }

  return {
    setBudget: (device, bytes) => ledger.setBudget(device, bytes),
    budget: (device) => ledger.budget(device),
    setReserve: (device, bytes) => ledger.setReserve(device, bytes),
    standingReserve: (device) => ledger.standingReserve(device),
    available: (device, owner) => Math.min(ledger.available(device, owner), availableOnHost(device, owner)),
    guarantees: () => ledger.guarantees(),
    report: () => ledger.report(),
    addHostDevice: (device) => void hostDevices.add(device),
    guarantee(owner, device, byteLength) {
      check([{ owner, device, byteLength }], "guaranteed");
      return ledger.guarantee(owner, device, byteLength);
    },
    reserve(requests) {
      check(requests, "reserved");
      return ledger.reserve(requests);
    },
  };
}
