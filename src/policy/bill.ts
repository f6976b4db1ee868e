/** The bill of one call: its maximum cost is reserved when it is opened, and its actual cost is settled once. */
import { errorText } from "../base/error-text.ts";
import { isCount, isObject, isPlain } from "../base/guards.ts";
import { VakError } from "../errors.ts";
import type { Cost, Reservation } from "./budget.ts";

/** Units that the kernel counts. */
const OWN_UNITS = ["calls", "bytes"];

/** Units that a call may cost, and the length of their names: the log keeps them in one entry. */
const MAX_UNITS = 64;

const isUnit = (unit: unknown): boolean =>
  typeof unit === "string" && unit !== "" && unit.length <= 64 && unit.isWellFormed();

/** Reserves what a call may cost, or says which budget does not suffice. */
type Reserve = (cost: Cost) => Reservation | { readonly exceeded: string };

export class Bill {
  /** Why the call cannot be made; undefined if its cost is reserved. */
  readonly exceeded: string | undefined;
  readonly #reserved: Cost;
  #reservation: Reservation | undefined;
  readonly #charged = new Map<string, number>();

  /**
   * @param counted the maximum cost in the units that the kernel counts
   * @param cost returns the maximum cost in other units; if it throws or returns anything else, the call cannot be made
   */
  constructor(reserve: Reserve, counted: Cost, cost: () => unknown = () => ({})) {
    let given: ReturnType<Reserve>;
    let reserved: Cost = counted;
    try {
      const own = cost();
      if (!isObject(own) || !isPlain(own) || !Object.values(own as Cost).every(isCount)) {
        throw new Error("the tool's cost did not return whole numbers by unit");
      }
      const units = Object.keys(own);
      if (units.length > MAX_UNITS || !units.every(isUnit)) {
        throw new Error(
          `the tool's cost has more than ${MAX_UNITS} units, or a unit's name is not well-formed or too long`,
        );
      }
      reserved = { ...(own as Cost), ...counted };
      given = reserve(reserved);
    } catch (error) {
      given = { exceeded: `the cost of the call is unknown: ${errorText(error)}` };
    }
    this.#reserved = reserved;
    if ("exceeded" in given) this.exceeded = given.exceeded;
    else this.#reservation = given;
  }

  /**
   * Charges an actual cost in a unit that the app defines. The sum of all charges replaces the reserved amount.
   *
   * @throws VakError `invalid-argument` if the amount is not a whole number, the kernel itself counts that unit, its
   *   name has not 1 to 64 well-formed characters, or there are too many units
   */
  charge(unit: string, amount: number): void {
    if (!isCount(amount)) {
      throw new VakError("invalid-argument", `charge: ${String(amount)} is not a whole number, 0 or more.`);
    }
    if (OWN_UNITS.includes(unit)) {
      throw new VakError("invalid-argument", `charge: vak counts ${unit} itself; charge another unit.`);
    }
    if (!isUnit(unit) || (this.#charged.size >= MAX_UNITS && !this.#charged.has(unit))) {
      throw new VakError(
        "invalid-argument",
        `charge: a call can be charged ${MAX_UNITS} units, each named by 1 to 64 well-formed characters.`,
      );
    }
    this.#charged.set(unit, Math.min((this.#charged.get(unit) ?? 0) + amount, Number.MAX_SAFE_INTEGER));
  }

  /**
   * Settles the bill.
   *
   * @param counted what the kernel counted
   * @param over false if the tool may still be running: then no reserved amount is released
   * @returns the total by unit; empty if the bill was cancelled or is settled already
   */
  settle(counted: Cost, over = true): Cost {
    if (!this.#reservation) return {};
    const sum: Record<string, number> = { ...this.#reserved, ...(over && counted) };
    for (const [unit, amount] of this.#charged) sum[unit] = over ? amount : Math.max(amount, sum[unit] ?? 0);
    this.#reservation.settle(sum);
    this.#reservation = undefined;
    return sum;
  }

  /** Releases everything reserved, for a call that was not made. Has no effect after {@link settle}. */
  cancel(): void {
    this.#reservation?.settle({});
    this.#reservation = undefined;
  }
}
