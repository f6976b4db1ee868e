import { VakError } from "../errors.ts";

/** How much of something may be used, and by whom. Whole numbers: money in millionths, say. */
export interface Budget {
  /**
   * What is counted: `calls`; `bytes`, of requests and answers together; or a unit of your own, which tools say that they
   * cost (`cost`, `charge`): `"tokens"`, `"microUSD"`.
   */
  readonly of: string;
  /** How much of it. */
  readonly limit: number;
  /** Who has this much: each run, each agent over all its runs, or all agents of the kernel together. */
  readonly per: "run" | "agent" | "kernel";
  /** Only calls of these tools count, and are held back; all unless given. */
  readonly tools?: readonly string[];
  /** So much in any stretch of this many ms (60,000: per minute), from 60 to 86,400,000. Without: so much, and no more. */
  readonly windowMs?: number;
}

/** How a budget stands, with what the call that is decided may cost; `context.vak.budget.NAME` in a policy. */
export interface BudgetState {
  readonly used: number;
  readonly left: number;
  readonly limit: number;
}

export type BudgetStates = { readonly [name: string]: BudgetState };

/** Amounts by unit. */
export type Cost = { readonly [unit: string]: number };

/** Whose call it is: any objects that live as long as the agent and the run do. */
export interface Payer {
  readonly agent: object;
  readonly run: object;
  readonly tool: string;
}

/** What a call may cost, set aside; until it is settled nobody else can have it. */
export interface Reservation {
  /** Replaces what was set aside by what the call did cost. Only the first time counts. */
  settle(actual: Cost): void;
}

/** What one call costs: set aside when it is opened, settled once. */
export class Bill {
  /** Why the call cannot be made; undefined when what it may cost is set aside. */
  readonly exceeded: string | undefined;
  private readonly reserved: Cost;
  private reservation: Reservation | undefined;
  private readonly charged = new Map<string, number>();

  /**
   * @param counted what it may cost at most in what the kernel counts
   * @param cost says the same of other units; that it gives anything but amounts, or throws, means that nobody knows
   */
  constructor(ledger: Ledger, payer: Payer, counted: Cost, cost: () => unknown = () => ({})) {
    let given: ReturnType<Ledger["reserve"]>;
    let reserved: Cost = counted;
    try {
      const said = cost();
      if (!isPlain(said) || !Object.values(said as Cost).every(isAmount)) {
        throw new Error("the tool's cost gave no whole numbers by unit");
      }
      reserved = { ...(said as Cost), ...counted };
      given = ledger.reserve(payer, reserved);
    } catch (error) {
      given = { exceeded: `what the call costs is not known: ${error instanceof Error ? error.message : error}` };
    }
    this.reserved = reserved;
    if ("exceeded" in given) this.exceeded = given.exceeded;
    else this.reservation = given;
  }

  /**
   * Notes what the call did cost in a unit of the app's own; the sum of all charges stands in the place of what was set
   * aside.
   *
   * @throws VakError `invalid-argument` when the amount is not a whole number, or the kernel counts that unit itself
   */
  charge(unit: string, amount: number): void {
    if (!isAmount(amount)) throw new VakError("invalid-argument", `charge: ${String(amount)} is not a whole number.`);
    if (OWN_UNITS.includes(unit)) throw new VakError("invalid-argument", `charge: vak counts ${unit} itself.`);
    this.charged.set(unit, Math.min((this.charged.get(unit) ?? 0) + amount, Number.MAX_SAFE_INTEGER));
  }

  /**
   * Settles the bill.
   *
   * @param counted what the kernel counted
   * @param over false when the tool may still be at it: then nothing that was set aside comes back
   * @returns what it came to, by unit; nothing when it was cancelled
   */
  settle(counted: Cost, over = true): Cost {
    if (!this.reservation) return {};
    const sum: Record<string, number> = { ...this.reserved, ...(over && counted) };
    for (const [unit, amount] of this.charged) sum[unit] = over ? amount : Math.max(amount, sum[unit] ?? 0);
    this.reservation.settle(sum);
    this.reservation = undefined;
    return sum;
  }

  /** Gives back all that was set aside: nothing was done. Does nothing after {@link settle}. */
  cancel(): void {
    this.reservation?.settle({});
    this.reservation = undefined;
  }
}

/** Units that the kernel counts. */
const OWN_UNITS = ["calls", "bytes"];

/** Budgets that a kernel may have. */
const MAX_BUDGETS = 32;
/** Parts of a window that are counted apart: what was used leaves the window up to a 60th of it late, and never early. */
const SLOTS = 60;
const MAX_WINDOW = 86_400_000;

/**
 * The accounts of a kernel's budgets. A reservation either fits into every budget that it touches, or changes none; it
 * is made in one turn, so that of calls at the same time no two can have the same rest.
 *
 * @throws VakError `invalid-argument` naming the budget that is none
 */
export class Ledger {
  readonly budgets: ReadonlyMap<string, Budget>;
  private readonly accounts: ReadonlyMap<string, WeakMap<object, Account>>;
  private readonly clock: () => number;

  /** @param clock ms that only grow */
  constructor(budgets: { readonly [name: string]: Budget }, clock: () => number = () => performance.now()) {
    this.budgets = new Map(Object.entries(budgets).map(([name, budget]) => [name, checkBudget(name, budget)]));
    if (this.budgets.size > MAX_BUDGETS) throw invalid(`there are more than ${MAX_BUDGETS} budgets`);
    this.accounts = new Map([...this.budgets.keys()].map((name) => [name, new WeakMap<object, Account>()]));
    this.clock = clock;
  }

  /** Sets aside what a call may cost; or says which budget has not so much left. */
  reserve(payer: Payer, cost: Cost): Reservation | { exceeded: string } {
    const touched = [...this.budgets].filter(([, { tools }]) => tools === undefined || tools.includes(payer.tool));
    const parts: { account: Account; unit: string; amount: number }[] = [];
    for (const [name, { of: unit }] of touched) {
      const amount = Object.hasOwn(cost, unit) ? cost[unit]! : 0;
      const account = this.account(name, payer);
      if (!isAmount(amount)) return { exceeded: `what the call costs in ${unit} is not a whole number` };
      const left = account.left(this.clock());
      if (amount > left) return { exceeded: `budget ${name}: the call may cost ${amount} ${unit}, ${left} are left` };
      parts.push({ account, unit, amount });
    }
    const now = this.clock();
    const entries = parts.map(({ account, unit, amount }) => ({ unit, amount, change: account.add(now, amount) }));
    let settled = false;
    return {
      settle(actual) {
        if (settled) return;
        settled = true;
        for (const { unit, amount, change } of entries) {
          const spent = Object.hasOwn(actual, unit) ? actual[unit]! : 0;
          // What is no amount may have been any: what was set aside stays spent.
          if (isAmount(spent)) change(spent - amount);
        }
      },
    };
  }

  /** Opens the bill of a call. */
  bill(payer: Payer, counted: Cost, cost?: () => unknown): Bill {
    return new Bill(this, payer, counted, cost);
  }

  /** How the budgets of a payer stand; of nobody's, as they are at the beginning. */
  states(payer?: Payer): BudgetStates {
    const now = this.clock();
    return Object.fromEntries(
      [...this.budgets].map(([name, { limit, per }]) => {
        const account = payer || per === "kernel" ? this.account(name, payer ?? NOBODY) : undefined;
        const left = account ? account.left(now) : limit;
        return [name, { used: account ? account.used(now) : 0, left, limit }];
      }),
    );
  }

  private account(name: string, { agent, run }: Payer): Account {
    const { limit, per, windowMs } = this.budgets.get(name)!;
    const accounts = this.accounts.get(name)!;
    const owner = per === "run" ? run : per === "agent" ? agent : this;
    const account = accounts.get(owner) ?? new Account(limit, windowMs);
    accounts.set(owner, account);
    return account;
  }
}

const NOBODY: Payer = { agent: {}, run: {}, tool: "" };

/** One owner's use of one budget, what is set aside included. */
class Account {
  private readonly limit: number;
  /** ms of a slot; one slot without end where there is no window. */
  private readonly slotMs: number;
  /** Use by the slot's number; no more than are in the window. */
  private readonly slots = new Map<number, number>();

  constructor(limit: number, windowMs: number | undefined) {
    this.limit = limit;
    this.slotMs = windowMs === undefined ? Number.POSITIVE_INFINITY : windowMs / SLOTS;
  }

  used(now: number): number {
    // A slot leaves once all of it is older than the window.
    const oldest = this.slot(now) - SLOTS;
    let sum = 0;
    for (const [slot, amount] of this.slots) {
      if (slot < oldest) this.slots.delete(slot);
      else sum += amount;
    }
    return Math.min(sum, Number.MAX_SAFE_INTEGER);
  }

  left(now: number): number {
    return Math.max(0, this.limit - this.used(now));
  }

  /** Counts an amount, and gives what corrects it later. */
  add(now: number, amount: number): (difference: number) => void {
    const slot = this.slot(now);
    this.slots.set(slot, (this.slots.get(slot) ?? 0) + amount);
    return (difference) => {
      const there = this.slots.get(slot);
      if (there !== undefined) this.slots.set(slot, there + difference);
    };
  }

  private slot(now: number): number {
    return Math.floor(now / this.slotMs);
  }
}

function checkBudget(name: string, budget: Budget): Budget {
  const wrong = (what: string) => invalid(`budget ${JSON.stringify(name)}: ${what}`);
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,31}$/.test(name))
    throw wrong("a name has 1 to 32 letters, digits and _, no digit first");
  const { of, limit, per, tools, windowMs, ...rest } = budget ?? {};
  const [stray] = Object.keys(rest);
  if (stray !== undefined) throw wrong(`there is no ${JSON.stringify(stray)}`);
  if (typeof of !== "string" || !/^[A-Za-z0-9_]{1,32}$/.test(of))
    throw wrong("of is a unit: 1 to 32 letters, digits and _");
  if (!isAmount(limit)) throw wrong("limit is a whole number, not negative");
  if (per !== "run" && per !== "agent" && per !== "kernel") throw wrong('per is "run", "agent" or "kernel"');
  if (tools !== undefined && !(Array.isArray(tools) && tools.every((tool) => typeof tool === "string"))) {
    throw wrong("tools is a list of names");
  }
  if (windowMs !== undefined && !(Number.isSafeInteger(windowMs) && windowMs >= SLOTS && windowMs <= MAX_WINDOW)) {
    throw wrong(`windowMs is a whole number from ${SLOTS} to ${MAX_WINDOW}`);
  }
  const only = tools && { tools: Object.freeze([...tools]) };
  return Object.freeze({ of, limit, per, ...only, ...(windowMs !== undefined && { windowMs }) });
}

const isPlain = (value: unknown): boolean =>
  typeof value === "object" && value !== null && [Object.prototype, null].includes(Object.getPrototypeOf(value));

const isAmount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const invalid = (what: string): VakError => new VakError("invalid-argument", `The budgets: ${what}.`);
