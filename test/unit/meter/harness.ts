/** Runs a program unchanged, counted by the oracle, or metered, with results that can be compared. */
import { attach, instrument, type Meter, type MeterOptions } from "../../../src/meter/index.ts";
import { countNaively } from "./oracle.ts";

export interface Outcome {
  /** The results, or how it ended. */
  result: string;
  /** The program's calls to the host. */
  log: string[];
  /** From the oracle and the meter. */
  fuel: number;
  /** A hash of its memory. Computed when it is read, because most tests compare only the rest. */
  readonly memory: string;
}

export type Argument = number | bigint;
type Guest = Record<string, (...args: Argument[]) => unknown>;

class HostExit extends Error {}

/** Every import of a program is one of these: log a number, throw, call the export `again` back, exit. */
function imports(log: string[], guest: () => Guest, refused: () => boolean) {
  const effect = (act: (value: number) => void) => (value: number) => {
    if (!refused()) act(value);
  };
  return {
    env: {
      log: effect((value) => log.push(`log ${value}`)),
      throw: effect((value) => {
        log.push(`throw ${value}`);
        throw new Error("from the host");
      }),
      again: effect((value) => {
        log.push(`again ${value}`);
        try {
          guest().again!(value);
        } catch (error) {
          if (!refused()) log.push(`caught ${describe(error)}`);
        }
      }),
      exit: effect((value) => {
        log.push(`exit ${value}`);
        throw new HostExit();
      }),
    },
  };
}

/** The kind of trap, which engines name differently. */
function describe(error: unknown): string {
  if (error instanceof HostExit) return "exit";
  if (!(error instanceof WebAssembly.RuntimeError)) {
    // WebAssembly.Exception is not in every library's types; the host throws an Error.
    return error instanceof Error ? error.constructor.name : "exception";
  }
  const kinds: [RegExp, string][] = [
    [/unreachable/, "unreachable"],
    [/divide|division/, "divide"],
    [/memory|out of bounds/, "bounds"],
    [/null|signature|indirect/, "call"],
  ];
  return `trap ${kinds.find(([pattern]) => pattern.test(error.message))?.[1] ?? error.message}`;
}

const text = (value: unknown): string =>
  Array.isArray(value) ? value.map(text).join() : Object.is(value, -0) ? "-0" : String(value);

/**
 * FNV-1a, by words, with a shift after each. Multiplying alone leaves a difference in the highest bit where it is, so
 * that two such differences would cancel.
 */
export function hash(buffer: ArrayBufferLike): number {
  let state = 0x811c9dc5;
  for (const word of new Uint32Array(buffer)) {
    state = Math.imul(state ^ word, 0x01000193);
    state ^= state >>> 15;
  }
  return state >>> 0;
}

const describeMemory = (memory: unknown): string =>
  memory instanceof WebAssembly.Memory ? `${memory.buffer.byteLength} ${hash(memory.buffer)}` : "none";

const compiled = new WeakMap<Uint8Array, Map<string, { module: WebAssembly.Module; start: string | undefined }>>();

/** Compiles what `make` makes of a program, once per `key`. */
function compile(bytes: Uint8Array, key: string, make: () => { bytes: Uint8Array<ArrayBuffer>; start?: string }) {
  const known = compiled.get(bytes) ?? new Map();
  compiled.set(bytes, known);
  if (!known.has(key)) {
    const made = make();
    known.set(key, { module: new WebAssembly.Module(made.bytes), start: made.start });
  }
  return known.get(key)!;
}

function instantiate(module: WebAssembly.Module, log: string[], refused: () => boolean): WebAssembly.Exports {
  const instance = new WebAssembly.Instance(
    module,
    imports(log, () => instance.exports as Guest, refused),
  );
  return instance.exports;
}

function invoke(exports: WebAssembly.Exports, start: string | undefined, args: Argument[]): string {
  const guest = exports as Guest;
  try {
    if (start) guest[start]!();
    return `ok ${text(guest.main!(...args))}`;
  } catch (error) {
    return describe(error);
  }
}

export function runPlain(bytes: Uint8Array<ArrayBuffer>, args: Argument[]): Outcome {
  const log: string[] = [];
  const { module } = compile(bytes, "plain", () => ({ bytes }));
  const exports = instantiate(module, log, () => false);
  const result = invoke(exports, undefined, args);
  return { result, log, fuel: 0, memory: describeMemory(exports.memory) };
}

export function runOracle(bytes: Uint8Array, args: Argument[], budget = 2 ** 53): Outcome {
  const log: string[] = [];
  const { module } = compile(bytes, "oracle", () => ({ bytes: countNaively(bytes) }));
  const exports = instantiate(module, log, () => oracle["oracle:used"]!() > budget);
  const oracle = exports as unknown as Record<string, (limit?: number) => number>;
  oracle["oracle:limit"]!(budget);
  const result = invoke(exports, "oracle:start" in exports ? "oracle:start" : undefined, args);
  const fuel = oracle["oracle:used"]!();
  const spent = fuel > budget;
  const { memory } = exports;
  return {
    result: spent ? "exhausted" : result,
    log,
    fuel: Math.min(fuel, budget),
    get memory() {
      return describeMemory(memory);
    },
  };
}

export interface Budget {
  fuel?: number;
  slice?: number;
  /** Called at each refill, before it; the guest is stopped if it returns false. */
  onRefill?: (meter: Meter) => boolean;
}

export function runMetered(
  bytes: Uint8Array,
  args: Argument[],
  options: MeterOptions,
  { fuel = 2 ** 52, slice, onRefill }: Budget = {},
): Outcome & { meter: Meter; exports: WebAssembly.Exports } {
  const log: string[] = [];
  const { module, start } = compile(bytes, JSON.stringify(options), () =>
    instrument(bytes, { fuel: true, ...options }),
  );
  let meter: Meter | undefined;
  const exports = instantiate(module, log, () => meter!.exhausted);
  meter = attach(exports, { fuel, ...(slice !== undefined && { slice }) });
  const { grant } = meter;
  if (slice !== undefined) {
    meter.refillWith(() => {
      if (onRefill?.(meter!) !== false) grant(slice);
    });
  }
  let result = invoke(exports, start, args);
  if (meter.stopped) result = "stopped";
  else if (meter.exhausted) result = "exhausted";
  else if (meter.overflowed) result = "overflowed";
  const { memory } = exports;
  return {
    result,
    log,
    fuel: meter.used,
    get memory() {
      return describeMemory(memory);
    },
    meter,
    exports,
  };
}

/** Every way of metering that must not make a difference, with the slices to try each with. */
export const OPTION_SETS: readonly [MeterOptions, ...(number | undefined)[]][] = [
  [{}, undefined],
  [{ resumable: true }, undefined, 1, 7, 1000],
  [{ nan: true }, undefined],
  [{ stackDepth: 1_000_000 }, undefined],
  [{ resumable: true, stackDepth: 1_000_000, nan: true, memoryBytes: 2 ** 24, tableElements: 1000 }, undefined, 13],
];
