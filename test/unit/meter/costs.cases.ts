/**
 * Fuel by the cost table `wt1`, in numbers worked out by hand from the table, in Node and in browsers. The kinds of
 * program are those whose fuel Wasmtime's own tests state (`npm run wasmtime` compares with them).
 */
import { describe, expect, test } from "vitest";
import { attach, instrument } from "../../../src/meter/index.ts";
import { binary, section, wat } from "./assemble.ts";
import { OPTION_SETS } from "./harness.ts";

/** What every function costs. */
const ENTRY = 1;

/** Each is the start function `$run`; `units` is in the order of the instructions, without those that are free. */
const TEXTS: { name: string; units: number[]; text: string; traps?: true }[] = [
  { name: "an empty function", units: [ENTRY], text: `(func $run)` },
  {
    name: "nop, drop, blocks and ends are free",
    units: [ENTRY, 1],
    text: `(func $run nop block i64.const 7 drop end)`,
  },
  {
    name: "unreachable is free, what is before it is not",
    units: [ENTRY, 1, 1],
    text: `(func $run (local i32) i32.const 5 local.set 0 unreachable)`,
    traps: true,
  },
  {
    name: "return is free, what is after it never runs",
    units: [ENTRY, 1],
    text: `(func $run f64.const 2 drop return i32.const 1 drop)`,
  },
  { name: "an if that is not taken", units: [ENTRY, 1, 1], text: `(func $run i32.const 0 if i32.const 1 drop end)` },
  {
    name: "an if that is taken: its else is free",
    units: [ENTRY, 1, 1, 1, 1, 1],
    text: `(func $run i32.const 1 if i32.const 1 i32.const 2 i32.add drop else unreachable end)`,
  },
  { name: "an else", units: [ENTRY, 1, 1, 1], text: `(func $run i32.const 0 if call $run else i32.const 9 drop end)` },
  {
    name: "a br_if that is taken skips what follows",
    units: [ENTRY, 1, 1],
    text: `(func $run block i32.const 1 br_if 0 i32.const 3 drop end)`,
  },
  {
    name: "a br_if that is not taken",
    units: [ENTRY, 1, 1, 1],
    text: `(func $run block i32.const 0 br_if 0 i32.const 3 drop end)`,
  },
  {
    name: "br and br_table",
    units: [ENTRY, 1, 1, 1],
    text: `(func $run block block i32.const 1 br_table 0 0 1 end br 0 i32.const 3 drop end)`,
  },
  {
    name: "a call: its own unit, the argument's, and the entry",
    units: [ENTRY, 1, 1, ENTRY, 1, 1, 1],
    text: `
      (func $half (param i32) (result i32) local.get 0 i32.const 1 i32.shr_u) (func $run i32.const 40 call $half drop)`,
  },
  {
    name: "a tail call",
    units: [ENTRY, 1, ENTRY, 1],
    text: `(func $next i32.const 1 drop) (func $run return_call $next)`,
  },
  {
    name: "call_indirect",
    units: [ENTRY, 1, 1, ENTRY],
    text: `
      (table funcref (elem $next)) (func $next) (func $run i32.const 0 call_indirect)`,
  },
  {
    name: "a loop of seven rounds of five instructions",
    units: [ENTRY, 1, 1, 7 * 5],
    text: `
      (func $run (local i32) i32.const 7 local.set 0 loop local.get 0 i32.const -1 i32.add local.tee 0 br_if 0 end)`,
  },
  {
    name: "memory.grow is one instruction",
    units: [ENTRY, 1, 1],
    text: `(memory 1) (func $run i32.const 3 memory.grow drop)`,
  },
  {
    name: "memory.copy of 90 bytes",
    units: [ENTRY, 3, 1, 90],
    text: `
      (memory 1) (func $run i32.const 8 i32.const 0 i32.const 90 memory.copy)`,
  },
  {
    name: "memory.fill of 1 000 bytes",
    units: [ENTRY, 3, 1, 1000],
    text: `
      (memory 1) (func $run i32.const 8 i32.const 0 i32.const 1000 memory.fill)`,
  },
  {
    name: "memory.init of 5 bytes, data.drop",
    units: [ENTRY, 3, 1, 5, 1],
    text: `
      (memory 1) (data $d "abcdefgh") (func $run i32.const 0 i32.const 1 i32.const 5 memory.init $d data.drop $d)`,
  },
  {
    name: "table.copy and table.fill of 30 elements",
    units: [ENTRY, 3, 1, 30, 3, 1, 30],
    text: `
      (table 60 funcref) (func $run i32.const 0 i32.const 9 i32.const 30 table.copy
        i32.const 0 ref.null func i32.const 30 table.fill)`,
  },
  {
    name: "table.grow by 50 elements, table.size",
    units: [ENTRY, 2, 1, 50, 1],
    text: `
      (table 1 funcref) (func $run ref.null func i32.const 50 table.grow drop table.size drop)`,
  },
  {
    name: "table.init of 2 elements, elem.drop",
    units: [ENTRY, 3, 1, 2, 1],
    text: `
      (table 3 funcref) (elem $e func $run $run) (func $run i32.const 1 i32.const 0 i32.const 2 table.init $e elem.drop $e)`,
  },
];

const i32 = (value: number) => [0x41, ...(value < 64 ? [value] : [(value & 0x7f) | 0x80, value >> 7])];
const drop = 0x1a;
const newArray = (length: number) => [...i32(length), 0xfb, 0x07, 1];

/**
 * Type 1 is a mutable array of i8, type 2 one of functions. Segments: 32 bytes of data; 8 elements, all the function.
 */
const ARRAYS: { name: string; units: number[]; code: number[] }[] = [
  { name: "array.new_default of 60", units: [ENTRY, 1, 1, 60], code: [...newArray(60), drop] },
  { name: "array.new of 60 functions", units: [ENTRY, 2, 1, 60], code: [0xd0, 0x70, ...i32(60), 0xfb, 0x06, 2, drop] },
  { name: "array.new_data of 20", units: [ENTRY, 2, 1, 20], code: [...i32(4), ...i32(20), 0xfb, 0x09, 1, 0, drop] },
  { name: "array.new_elem of 8", units: [ENTRY, 2, 1, 8], code: [...i32(0), ...i32(8), 0xfb, 0x0a, 2, 0, drop] },
  {
    name: "array.fill of 200",
    units: [ENTRY, 1, 1, 200, 3, 1, 200],
    code: [...newArray(200), ...i32(0), ...i32(9), ...i32(200), 0xfb, 0x10, 1],
  },
  {
    name: "array.copy of 40",
    units: [ENTRY, 1, 1, 50, 1, 1, 1, 50, 2, 1, 40],
    code: [...newArray(50), ...i32(5), ...newArray(50), ...i32(0), ...i32(40), 0xfb, 0x11, 1, 1],
  },
  {
    name: "array.init_data of 12",
    units: [ENTRY, 1, 1, 50, 3, 1, 12],
    code: [...newArray(50), ...i32(5), ...i32(0), ...i32(12), 0xfb, 0x12, 1, 0],
  },
];

const withArrays = (code: number[]) =>
  binary(
    section(1, [3, 0x60, 0, 0, 0x5e, 0x78, 1, 0x5e, 0x70, 1]),
    section(3, [1, 0]),
    section(8, [0]),
    section(9, [1, 1, 0, 8, ...Array<number>(8).fill(0)]),
    section(12, [1]),
    section(10, [1, code.length + 2, 0, ...code, 0x0b]),
    section(11, [1, 1, 32, ...Array<number>(32).fill(7)]),
  );

function use(bytes: Uint8Array, units: number[], traps = false): void {
  for (const [options, ...slices] of OPTION_SETS) {
    for (const slice of slices) {
      const metered = instrument(bytes, { fuel: true, ...options });
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(metered.bytes));
      const meter = attach(exports, { fuel: 1e9, ...(slice !== undefined && { slice }) });
      if (slice !== undefined) meter.refillWith(() => void meter.grant(slice));
      let thrown: unknown;
      try {
        (exports as Record<string, () => void>)[metered.start!]!();
      } catch (error) {
        thrown = error;
      }
      expect(thrown instanceof WebAssembly.RuntimeError).toBe(traps);
      expect(meter.used, JSON.stringify({ options, slice })).toBe(units.reduce((sum, unit) => sum + unit));
    }
  }
}

export function costCases(): void {
  describe("the cost table wt1", () => {
    test.each(TEXTS)("$name", ({ units, text, traps }) => use(wat(`(module ${text} (start $run))`), units, traps));
    const supported = WebAssembly.validate(withArrays([]));
    test.skipIf(!supported).each(ARRAYS)("$name (skipped if this engine does not have it)", ({ units, code }) =>
      use(withArrays(code), units),
    );
  });
}
