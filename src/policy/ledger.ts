/** The accounts of a kernel's budgets: who has used how much, and how much is reserved. */
import { isCount } from "../base/guards.ts";
import { Bill } from "./bill.ts";
import {
  type Budget,
  type BudgetStates,
  type Cost,
  checkBudgets,
  type Payer,
  type Reservation,
  SLOTS,
} from "./budget.ts";

/**
 * A reservation either fits into every budget that it concerns, or changes none. It is made synchronously, so that
 * concurrent calls cannot use the same remainder of a budget.
 *
 * @throws VakError `invalid-argument` naming the budget that is not valid
 */
export class Ledger {
  readonly budgets: ReadonlyMap<string, Budget>;
  readonly #accounts: ReadonlyMap<string, WeakMap<object, Account>>;
  readonly #clock: () => number;

  /** @param clock monotonic, in ms */
  constructor(budgets: { readonly [name: string]: Budget }, clock: () => number = () => performance.now()) {
    this.budgets = checkBudgets(budgets);
    this.#accounts = new Map([...this.budgets.keys()].map((name) => [name, new WeakMap<object, Account>()]));
    this.#clock = clock;
  }

  /** Reserves what a call may cost, or says which budget does not suffice. */
  reserve(payer: Payer, cost: Cost): Reservation | { exceeded: string } {
    const touched = [...this.budgets].filter(([, { tools }]) => tools === undefined || tools.includes(payer.tool));
    const parts: { account: Account; unit: string; amount: number }[] = [];
    for (const [name, { of: unit }] of touched) {
      const amount = Object.hasOwn(cost, unit) ? cost[unit]! : 0;
      const account = this.#account(name, payer);
      if (!isCount(amount)) return { exceeded: `the cost of the call in ${unit} is not a whole number` };
      const left = account.left(this.#clock());
      if (amount > left) return { exceeded: `budget ${name}: the call may cost ${amount} ${unit}, ${left} are left` };
      parts.push({ account, unit, amount });
    }
    const now = this.#clock();
    const entries = parts.map(({ account, unit, amount }) => ({ unit, amount, change: account.add(now, amount) }));
    let settled = false;
    return {
      settle(actual) {
        if (settled) return;
        settled = true;
        for (const { unit, amount, change } of entries) {
          const spent = Object.hasOwn(actual, unit) ? actual[unit]! : 0;
          // If it is not a whole number, the actual cost is unknown: the reserved amount stays spent.
          if (isCount(spent)) change(spent - amount);
        }
      },
    };
  }

  /** Opens the bill of a call. */
  bill(payer: Payer, counted: Cost, cost?: () => unknown): Bill {
    return new Bill((cost) => this.reserve(payer, cost), counted, cost);
  }

  /** The states of a payer's budgets, or, without a payer, of those of a new agent. */
  states(payer?: Payer): BudgetStates {
    const now = this.#clock();
    return Object.fromEntries(
      [...this.budgets].map(([name, { limit, per }]) => {
        const account = payer || per === "kernel" ? this.#account(name, payer ?? NOBODY) : undefined;
        const left = account ? account.left(now) : limit;
        return [name, { used: account ? account.used(now) : 0, left, limit }];
      }),
    );
  }

  #account(name: string, { agent, run }: Payer): Account {
    const { limit, per, windowMs } = this.budgets.get(name)!;
    const accounts = this.#accounts.get(name)!;
    const owner = per === "run" ? run : per === "agent" ? agent : this;
    const account = accounts.get(owner) ?? new Account(limit, windowMs);
    accounts.set(owner, account);
    return account;
  }
}

const NOBODY: Payer = { agent: {}, run: {}, tool: "" };

/** One owner's use of one budget, including what is reserved. */
class Account {
  readonly #limit: number;
  /** ms of a slot; without a window, there is one slot that never ends. */
  readonly #slotMs: number;
  /** Amounts by the number of the slot, for slots in the window. */
  readonly #slots = new Map<number, number>();

  constructor(limit: number, windowMs: number | undefined) {
    this.#limit = limit;
    this.#slotMs = windowMs === undefined ? Number.POSITIVE_INFINITY : windowMs / SLOTS;
  }

  used(now: number): number {
    // A slot leaves when all of it is older than the window.
    const oldest = this.#slot(now) - SLOTS;
    let sum = 0;
    for (const [slot, amount] of this.#slots) {
      if (slot < oldest) this.#slots.delete(slot);
      else sum += amount;
    }
    return Math.min(sum, Number.MAX_SAFE_INTEGER);
  }

  left(now: number): number {
    return Math.max(0, this.#limit - this.used(now));
  }

  /** Adds an amount, and returns a function that corrects it later. */
  add(now: number, amount: number): (difference: number) => void {
    const slot = this.#slot(now);
    this.#slots.set(slot, (this.#slots.get(slot) ?? 0) + amount);
    return (difference) => {
      const there = this.#slots.get(slot);
      if (there !== undefined) this.#slots.set(slot, there + difference);
    };
  }

  #slot(now: number): number {
    return Math.floor(now / this.#slotMs);
  }
}
