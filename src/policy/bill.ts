/** The bill of one call: what it may cost is reserved when the bill is opened, and what it did cost is settled once. */
import { isCount } from "../base/guards.ts";
import { VakError } from "../errors.ts";
import type { Cost, Payer, Reservation } from "./budget.ts";

/** Units that the kernel counts. */
const OWN_UNITS = ["calls", "bytes"];

/** Reserves what a call may cost, or says which budget does not have that much left. */
export type Reserve = (payer: Payer, cost: Cost) => Reservation | { readonly exceeded: string };

export class Bill {
  /** Why the call cannot be made; undefined when what it may cost is reserved. */
  readonly exceeded: string | undefined;
  readonly #reserved: Cost;
  #reservation: Reservation | undefined;
  readonly #charged = new Map<string, number>();

  /**
   * @param counted the most that it may cost in the units that the kernel counts
   * @param cost returns the same for other units; if it throws or returns anything else, the call cannot be made
   */
  constructor(reserve: Reserve, payer: Payer, counted: Cost, cost: () => unknown = () => ({})) {
    let given: ReturnType<Reserve>;
    let reserved: Cost = counted;
    try {
      const own = cost();
      if (!isPlain(own) || !Object.values(own as Cost).every(isCount)) {
        throw new Error("the tool's cost did not return whole numbers by unit");
      }
      reserved = { ...(own as Cost), ...counted };
      given = reserve(payer, reserved);
    } catch (error) {
      given = { exceeded: `what the call costs is not known: ${error instanceof Error ? error.message : error}` };
    }
    this.#reserved = reserved;
    if ("exceeded" in given) this.exceeded = given.exceeded;
    else this.#reservation = given;
  }

  /**
   * Charges what the call did cost in a unit of the app's own. The sum of all charges replaces what was reserved.
   *
   * @throws VakError `invalid-argument` when the amount is not a whole number, or the kernel itself counts that unit
   */
  charge(unit: string, amount: number): void {
    if (!isCount(amount)) {
      throw new VakError("invalid-argument", `charge: ${String(amount)} is not a whole number, 0 or more.`);
    }
    if (OWN_UNITS.includes(unit)) {
      throw new VakError("invalid-argument", `charge: vak counts ${unit} itself; charge another unit.`);
    }
    this.#charged.set(unit, Math.min((this.#charged.get(unit) ?? 0) + amount, Number.MAX_SAFE_INTEGER));
  }

  /**
   * Settles the bill.
   *
   * @param counted what the kernel counted
   * @param over false when the tool may still be running: then nothing that was reserved is returned
   * @returns what it came to, by unit; nothing when it was cancelled
   */
  settle(counted: Cost, over = true): Cost {
    if (!this.#reservation) return {};
    const sum: Record<string, number> = { ...this.#reserved, ...(over && counted) };
    for (const [unit, amount] of this.#charged) sum[unit] = over ? amount : Math.max(amount, sum[unit] ?? 0);
    this.#reservation.settle(sum);
    this.#reservation = undefined;
    return sum;
  }

  /** Returns all that was reserved, as nothing was done. Has no effect after {@link settle}. */
  cancel(): void {
    this.#reservation?.settle({});
    this.#reservation = undefined;
  }
}

const isPlain = (value: unknown): boolean =>
  typeof value === "object" && value !== null && [Object.prototype, null].includes(Object.getPrototypeOf(value));
