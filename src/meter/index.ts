/**
 * The meter makes a WebAssembly module bounded and deterministic before it is compiled.
 *
 * {@link instrument} rewrites; {@link attach} is the host's side of a metered instance.
 *
 * @example
 * const metered = instrument(program, { ...METERED, memoryBytes: 2 ** 28, tableElements: 100_000 });
 * const { exports } = new WebAssembly.Instance(new WebAssembly.Module(metered.bytes), imports);
 * const meter = attach(exports, { fuel: 1e9 });
 * try {
 *   if (metered.start) exports[metered.start]();
 *   exports._start();
 * } catch (error) {
 *   // meter.exhausted, meter.overflowed: why, if the meter ended it
 * }
 * console.log(meter.used, meter.exhausted);
 *
 * ## Fuel
 *
 * Costs are those of table {@link COST_TABLE} (`costs.ts`). The counter begins at 0, and the host grants fuel. Code is
 * charged before it runs. Checks are at loop headers, at the entry of functions that call, and before bulk
 * instructions; when the counter is negative they execute `unreachable`: a trap, which no guest can catch.
 *
 * While control is outside the guest, `used` is exact, and depends neither on slices nor on where checks are: after a
 * return, during a call to the host (and so at an exit), after an exception, and after `unreachable`. After any other
 * trap it is the count at a point that the program alone determines: what the trapping function had charged when it
 * last called, was entered, or went round a loop with a call in it. That is the same in every engine and for every
 * slicing, but it is not the count of instructions. When the budget is spent, `used` is the budget.
 *
 * Checks are some distance apart, so a guest can run a little past its budget. Nothing of that is visible if the host
 * asks {@link Meter.exhausted} **at the beginning of every import**, which must then do nothing, **and at every end**,
 * including a return: a run is within its budget if and only if it is not exhausted at its end.
 *
 * ## Resuming
 *
 * With `resumable`, a check that finds the counter negative first calls the function in the table `vak:refill`. If that
 * grants enough to make the counter non-negative, the guest resumes as if nothing had happened; otherwise it traps. The
 * callback must not throw: a guest could catch that. {@link Meter.refillWith} puts a JavaScript function there. A
 * `WebAssembly.Suspending` one returns to the worker's event loop, if the guest was called through
 * `WebAssembly.promising`. To stop a guest, do not grant.
 *
 * ## Depth
 *
 * With `stackDepth`, each frame of a function that calls takes 4 words, its parameters and locals, and its deepest
 * operand stack (a v128 counts as two). When the words are spent the guest traps, and {@link Meter.overflowed} is true.
 *
 * ## Memory
 *
 * Maxima are written into the module: growth beyond them fails as it does in any module. What the engine allocates for
 * garbage-collected objects is bounded only by fuel.
 */

import type { ExternKind } from "../wasm/external.ts";
import * as External from "../wasm/external.ts";
import { malformed } from "../wasm/malformed.ts";
import { readModule } from "../wasm/module.ts";
import { checkPreamble } from "../wasm/preamble.ts";
import { valueTypesAt } from "../wasm/value-type.ts";
import { Additions, addMeter, RESERVED_PREFIX, START_EXPORT } from "./added.ts";
import { capMemories, capTables } from "./caps.ts";
import type { Plan } from "./emit.ts";
import { checkCounts, MODULE_LIMITS } from "./limits.ts";
import { misuse } from "./refuse.ts";
import { writeModule } from "./write.ts";

export type { ExternKind } from "../wasm/external.ts";
export {
  DEPTH_EXPORT,
  FUEL_EXPORT,
  GRANT_EXPORT,
  REFILL_EXPORT,
  RESERVED_PREFIX,
  SET_DEPTH_EXPORT,
  START_EXPORT,
} from "./added.ts";
export { attach, type Meter } from "./host.ts";
export { MODULE_LIMITS } from "./limits.ts";

/** Part of the key of a cache, with the program's hash and the options: the same three give the same bytes. */
export const METER_VERSION = 1;
export const COST_TABLE = "wt1";

/** In words. One frame takes a bounded number of them, so the counter cannot wrap. */
const MAX_STACK_DEPTH = 1_000_000_000;

export interface MeterOptions {
  /** Count and limit work. */
  fuel?: boolean;
  /** Let the host refill at checks, and so pause or stop the guest there. Requires `fuel`. */
  resumable?: boolean;
  /** Words of call stack. If not given, the only limit is the engine's, which varies from run to run. */
  stackDepth?: number;
  /** Make NaNs the same everywhere: a NaN whose bits the engine may choose becomes the canonical one. */
  nan?: boolean;
  /**
   * Bytes of linear memory that all of the module's memories may hold together, rounded down to whole pages. A single
   * memory may use it all; of several, each may use its minimum and an equal share of what the minima leave.
   * If not given, memories keep their own limits, and may be imported.
   */
  memoryBytes?: number;
  /**
   * Elements that each of the module's tables may hold. If not given, tables keep their limits, and may be imported.
   */
  tableElements?: number;
  /** Bytes of the module itself; {@link MODULE_LIMITS}`.moduleBytes` unless given. */
  maxModuleBytes?: number;
}

export interface MeteredImport {
  module: string;
  name: string;
  kind: ExternKind;
  /** For functions and tags: value types as the text format writes them (`i32`, `externref`, `(ref null 3)`). */
  params?: string[];
  results?: string[];
}

export interface Metered {
  /** The rewritten module. */
  bytes: Uint8Array<ArrayBuffer>;
  /** The guest's imports, in order. The meter adds none. */
  imports: MeteredImport[];
  /** The guest's own exports, in order, without the meter's. */
  exports: { name: string; kind: ExternKind }[];
  /** The export that replaces the start section: call it once, after the first grant. Absent if there is none. */
  start?: string;
}

/**
 * Rewrites a module so that what it does is bounded. Pure: Node, worker or page.
 *
 * @throws VakError `invalid-module` naming what is not admitted and at which byte
 */
export function instrument(program: Uint8Array, options: MeterOptions = {}): Metered {
  checkOptions(options);
  const bytes = program as Uint8Array<ArrayBuffer>;
  const maxModuleBytes = options.maxModuleBytes ?? MODULE_LIMITS.moduleBytes;
  if (bytes.length > maxModuleBytes) {
    malformed(`the module is too large: ${bytes.length} bytes; the limit is ${maxModuleBytes}`);
  }
  checkPreamble(bytes);
  // Before anything is rewritten: a rewritten module may be valid where the original was not.
  const valid = WebAssembly.validate(bytes);
  const module = readModule(bytes, MODULE_LIMITS.constantElements);
  checkCounts(module);
  if (!valid) malformed(`not a valid WebAssembly module${engineComplaint(bytes)}`);
  for (const { name, at } of module.exports) {
    if (name.startsWith(RESERVED_PREFIX)) malformed(`exports ${JSON.stringify(name)}, a name that vak reserves`, at);
  }

  const maxima = {
    memories: capMemories(module, options.memoryBytes),
    tables: capTables(module, options.tableElements),
  };
  const additions = new Additions(module);
  if (module.start !== undefined) additions.export(START_EXPORT, External.func, module.start);
  const { fuel = false, resumable = false, nan = false, stackDepth } = options;
  const added = addMeter(additions, { fuel, resumable, stackDepth });
  const plan: Plan = {
    fuel,
    resumable,
    nan,
    stackDepth,
    added,
    resultsOf: (type) => additions.resultsOf(type),
    savingGlobal: (type, n) => additions.savingGlobal(type, n),
  };
  return {
    bytes: writeModule(module, maxima, additions, plan),
    imports: module.imports.map(({ module: from, name, kind, type }) => {
      const signature = type === undefined ? undefined : module.types[type];
      if (!signature) return { module: from, name, kind };
      const params = valueTypesAt(bytes, signature.params);
      return { module: from, name, kind, params, results: valueTypesAt(bytes, signature.results) };
    }),
    exports: module.exports.map(({ name, kind }) => ({ name, kind })),
    ...(module.start !== undefined && { start: START_EXPORT }),
  };
}

function checkOptions(options: MeterOptions): void {
  const { fuel, resumable, stackDepth } = options;
  if (resumable && !fuel) misuse("The meter's option resumable requires the option fuel");
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || typeof value === "boolean" || (Number.isSafeInteger(value) && value >= 0)) continue;
    misuse(`The meter's option ${name} is ${value}; give a whole number`);
  }
  if (stackDepth !== undefined && stackDepth > MAX_STACK_DEPTH) {
    misuse(`The meter's option stackDepth is ${stackDepth}; the maximum is ${MAX_STACK_DEPTH}`);
  }
}

/** Why the engine refuses a module, in its own words. */
function engineComplaint(bytes: Uint8Array<ArrayBuffer>): string {
  try {
    new WebAssembly.Module(bytes);
    return "";
  } catch (error) {
    // On a page's main thread, engines refuse to compile large modules at once.
    return error instanceof WebAssembly.CompileError ? `: ${error.message.replace(/^.*?\(\): |\.$/g, "")}` : "";
  }
}
