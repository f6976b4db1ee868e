/** The host's side of a metered instance; `index.ts` explains how the two work together. */
import * as External from "../wasm/external.ts";
import { PREAMBLE } from "../wasm/preamble.ts";
import * as Section from "../wasm/section.ts";
import * as Type from "../wasm/type.ts";
import { DEPTH_EXPORT, FUEL_EXPORT, GRANT_EXPORT, REFILL_EXPORT, SET_DEPTH_EXPORT } from "./added.ts";
import { misuse } from "./refuse.ts";

/** More than any budget: a counter reduced by this much stays negative. */
const ALL = 2 ** 62;

export interface Meter {
  /** The units that the guest may use in all. */
  readonly budget: number;
  /** Units used: exact while control is outside the guest; never more than the budget. */
  readonly used: number;
  /** The budget is spent, or the guest was {@link stop stopped}: imports must do nothing, and the run has failed. */
  readonly exhausted: boolean;
  /** {@link stop} was called. */
  readonly stopped: boolean;
  /** The call stack went deeper than `stackDepth`. */
  readonly overflowed: boolean;
  /** Units granted but not used; negative at a check that asks for more. */
  readonly left: number;
  /**
   * Lets the guest use about `units` more before the next refill: at least what it has overdrawn, and no more in total
   * than the budget.
   *
   * @returns whether the guest can resume
   */
  grant(units: number): boolean;
  /** Takes back what is left of the grant, so that the next check refills. `used` does not change. */
  recall(): void;
  /** Takes all fuel away: the guest traps at its next check. `used` does not change. */
  stop(): void;
  /**
   * Sets what to call when a grant is used up. It must not throw. If it does not {@link grant}, the guest traps.
   *
   * @param callback a function, or a `WebAssembly.Suspending` of an async one
   */
  refillWith(callback: (() => void) | object): void;
  /** Restores the whole stack, before the host again calls a guest that ended with an exception. */
  resetDepth(): void;
}

/**
 * Takes charge of a metered instance, and grants the whole budget, or `slice` of it. An instance that has returned can
 * be attached again with another budget: nothing is carried over.
 *
 * @throws VakError `invalid-argument` when the module was not metered with `fuel`, or a number is not a positive
 *   integer
 */
export function attach(
  exports: WebAssembly.Exports,
  { fuel: budget, slice = budget }: { fuel: number; slice?: number },
): Meter {
  if (typeof exports[FUEL_EXPORT] !== "function") {
    misuse("This instance does not count fuel: instrument its module with { fuel: true }");
  }
  for (const units of [budget, slice]) {
    if (!Number.isSafeInteger(units) || units < 0) {
      misuse(`Fuel is ${units}; give a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`);
    }
  }
  const read = exports[FUEL_EXPORT] as () => number;
  const add = exports[GRANT_EXPORT] as (units: number) => void;
  const depth = exports[DEPTH_EXPORT] as (() => number) | undefined;
  const setDepth = exports[SET_DEPTH_EXPORT] as ((words: number) => void) | undefined;
  const table = exports[REFILL_EXPORT] as WebAssembly.Table | undefined;
  const wholeDepth = depth?.() ?? 0;
  // What an earlier attachment left is not part of this budget.
  add(-read());
  let granted = 0;
  let usedAtStop: number | undefined;
  const used = () => usedAtStop ?? granted - read();

  const meter: Meter = {
    budget,
    get used() {
      return Math.min(used(), budget);
    },
    get exhausted() {
      return usedAtStop !== undefined || used() > budget;
    },
    get stopped() {
      return usedAtStop !== undefined;
    },
    get overflowed() {
      return depth !== undefined && depth() < 0;
    },
    get left() {
      return read();
    },
    grant(units) {
      if (usedAtStop !== undefined) return false;
      const more = Math.min(Math.max(Math.floor(units), -read()), budget - granted);
      granted += more;
      add(more);
      return read() >= 0;
    },
    recall() {
      const left = read();
      if (left < 0) return;
      granted -= left + 1;
      add(-(left + 1));
    },
    stop() {
      if (usedAtStop !== undefined) return;
      usedAtStop = used();
      add(-ALL);
    },
    refillWith(callback) {
      if (!table) {
        misuse("This instance does not refill: instrument its module with { resumable: true }");
      }
      table.set(0, asWasmFunction(callback as () => void));
    },
    resetDepth() {
      setDepth?.(wholeDepth);
    },
  };
  meter.grant(slice);
  return meter;
}

/**
 * `(module (import "" "" (func)) (export "" (func 0)))`: it turns a JavaScript function into one that a table takes.
 */
const FUNCTION_WRAPPER = new Uint8Array([
  ...PREAMBLE,
  ...[Section.type, 4, 1, Type.func, 0, 0],
  ...[Section.import, 5, 1, 0, 0, External.func, 0],
  ...[Section.export, 4, 1, 0, External.func, 0],
]);

function asWasmFunction(callback: () => void): unknown {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(FUNCTION_WRAPPER), { "": { "": callback } });
  return instance.exports[""];
}
