/** Budgets: how much of something agents may use, and what the accounting needs to know about a call. */
import { isCount } from "../base/guards.ts";
import { VakError } from "../errors.ts";

/** How much of something may be used, and by whom. Amounts are whole numbers: count money in millionths, say. */
export interface Budget {
  /**
   * What is counted: `calls`; `bytes`, of requests and answers together; or a unit of your own that tools report (by
   * `cost` and `charge`), such as `"tokens"` or `"microUSD"`.
   */
  readonly of: string;
  /** The amount. */
  readonly limit: number;
  /** Who may use that much: each run, each agent over all its runs, or all agents of the kernel together. */
  readonly per: "run" | "agent" | "kernel";
  /** Only calls of these tools count and are limited. Default: all tools. */
  readonly tools?: readonly string[];
  /**
   * The limit applies to any period of this many ms (60,000: per minute), from 60 to 86,400,000. Default: to all time.
   */
  readonly windowMs?: number;
}

/** The state of a budget, including what the call being decided may cost: `context.vak.budget.NAME` in a policy. */
export interface BudgetState {
  readonly used: number;
  readonly left: number;
  readonly limit: number;
}

export type BudgetStates = { readonly [name: string]: BudgetState };

/** Amounts by unit. */
export type Cost = { readonly [unit: string]: number };

/** Who pays for a call: `agent` and `run` are any objects that live as long as those do. */
export interface Payer {
  readonly agent: object;
  readonly run: object;
  readonly tool: string;
}

/** What a call may cost, reserved: no other call can use it until it is settled. */
export interface Reservation {
  /** Replaces the reserved amounts with the actual cost. Only the first call has an effect. */
  settle(actual: Cost): void;
}

/** Budgets that a kernel may have. */
const MAX_BUDGETS = 32;
/**
 * Parts of a window that are counted separately: an amount leaves the window up to a 60th of it late, never early.
 */
export const SLOTS = 60;
const MAX_WINDOW = 86_400_000;

/** @throws VakError `invalid-argument` naming the budget that is not valid */
export function checkBudgets(budgets: { readonly [name: string]: Budget }): ReadonlyMap<string, Budget> {
  const checked = new Map(Object.entries(budgets).map(([name, budget]) => [name, checkBudget(name, budget)]));
  if (checked.size > MAX_BUDGETS) throw invalid(`there are more than ${MAX_BUDGETS}`);
  return checked;
}

function checkBudget(name: string, budget: Budget): Budget {
  const wrong = (what: string) => invalid(`${JSON.stringify(name)}: ${what}`);
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,31}$/.test(name)) {
    throw wrong("a name must have 1 to 32 letters, digits and _, and not begin with a digit");
  }
  const { of, limit, per, tools, windowMs, ...rest } = budget ?? {};
  const [stray] = Object.keys(rest);
  if (stray !== undefined) throw wrong(`there is no option ${JSON.stringify(stray)}`);
  if (typeof of !== "string" || !/^[A-Za-z0-9_]{1,32}$/.test(of)) {
    throw wrong("of must be a unit: 1 to 32 letters, digits and _");
  }
  if (!isCount(limit)) throw wrong("limit must be a whole number, 0 or more");
  if (per !== "run" && per !== "agent" && per !== "kernel") throw wrong('per must be "run", "agent" or "kernel"');
  if (tools !== undefined && !(Array.isArray(tools) && tools.every((tool) => typeof tool === "string"))) {
    throw wrong("tools must be a list of names");
  }
  if (windowMs !== undefined && !(isCount(windowMs) && windowMs >= SLOTS && windowMs <= MAX_WINDOW)) {
    throw wrong(`windowMs must be a whole number from ${SLOTS} to ${MAX_WINDOW}`);
  }
  const only = tools && { tools: Object.freeze([...tools]) };
  return Object.freeze({ of, limit, per, ...only, ...(windowMs !== undefined && { windowMs }) });
}

const invalid = (what: string): VakError => new VakError("invalid-argument", `Budgets: ${what}.`);
