/** The budgets that an opening gives to devices: they hold once it has succeeded, and go when it fails. */
import { type DeviceId, InvalidRequestError, type MemoryLedger, type PlanDevice } from "@thermocline/spec";
import { hostBudgetBytes } from "./host-memory.js";

/** For every device, or by device id. */
export type BudgetBytes = number | Readonly<Record<DeviceId, number>>;

/** What one opening has set; it ends with exactly one of the two calls. */
export interface BudgetClaims {
  keep(): void;
  /** Restores what held before, except where something else has been set since. */
  withdraw(): void;
}

interface Claim {
  readonly bytes: number;
}

/** By device: what held before any claim that may still be withdrawn, and these claims, oldest first. */
const claimsOf = new WeakMap<MemoryLedger, Map<DeviceId, Claim[]>>();

/** @throws InvalidRequestError for a budget that no device can have. Needs no device. */
export function checkBudgetBytes(budgetBytes: BudgetBytes | undefined): void {
  if (budgetBytes === undefined) return;
  const budgets = typeof budgetBytes === "object" && budgetBytes !== null ? Object.entries(budgetBytes) : [["", budgetBytes] as const];
  for (const [device, bytes] of budgets) {
    if (bytes === undefined || (typeof bytes === "number" && bytes >= 0)) continue;
    const where = device === "" ? "" : ` for ${device}`;
    throw new InvalidRequestError("budgetBytes", bytes, `is ${bytes}${where}`, "give a number of bytes from 0 on");
  }
}

/**
 * Sets each device's budget: what was asked, else the plan's, else what the ledger says, else the host's memory.
 * @throws InvalidRequestError for the budget of a device that is not among them; nothing is set then.
 */
export function claimBudgets(
  ledger: MemoryLedger,
  devices: readonly DeviceId[],
  budgetBytes: BudgetBytes | undefined,
  planned: Readonly<Record<DeviceId, PlanDevice>> = {},
): BudgetClaims {
  if (typeof budgetBytes === "object") {
    const unknown = Object.keys(budgetBytes).find((device) => !devices.includes(device));
    if (unknown !== undefined) {
      const problem = `has a budget for ${unknown}, which is not opened`;
      throw new InvalidRequestError("budgetBytes", unknown, problem, `give budgets to ${devices.join(", ")}`);
    }
  }
  const claims = devices.map((device) => {
    const asked = typeof budgetBytes === "number" ? budgetBytes : budgetBytes?.[device];
    return claim(ledger, device, asked ?? planned[device]?.budgetBytes ?? (ledger.budget(device) || hostBudgetBytes()));
  });
  return {
    keep: () => claims.forEach(({ keep }) => void keep()),
    withdraw: () => claims.forEach(({ withdraw }) => void withdraw()),
  };
}

function claim(ledger: MemoryLedger, device: DeviceId, bytes: number): BudgetClaims {
  const byDevice = claimsOf.get(ledger) ?? new Map<DeviceId, Claim[]>();
  claimsOf.set(ledger, byDevice);
  const known = byDevice.get(device);
  const heldBytes = ledger.budget(device);
  // Where the ledger's owner has set a budget meanwhile, that is what to return to.
  const claims = known?.at(-1)?.bytes === heldBytes ? known : [{ bytes: heldBytes }];
  const own: Claim = { bytes };
  claims.push(own);
  byDevice.set(device, claims);
  ledger.setBudget(device, bytes);
  return {
    keep: () => void claims.splice(0, claims.indexOf(own)),
    withdraw() {
      const isInForce = claims.at(-1) === own && ledger.budget(device) === bytes;
      claims.splice(claims.indexOf(own), 1);
      if (isInForce) ledger.setBudget(device, claims.at(-1)!.bytes);
    },
  };
}
