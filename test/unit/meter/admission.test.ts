/** Which modules the meter admits, and the caps that it sets. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { VakError } from "../../../src/errors.ts";
import { capMemories } from "../../../src/meter/caps.ts";
import { instrument, type MeterOptions } from "../../../src/meter/index.ts";
import { readModule } from "../../../src/wasm/module.ts";
import { fuzzFactor } from "../../setup/fuzz.ts";
import { binary, custom, section, wat } from "./assemble.ts";

const options: MeterOptions = { memoryBytes: 10 * 65_536, tableElements: 100 };

function refusal(bytes: Uint8Array, given: MeterOptions = options): string {
  try {
    instrument(bytes, given);
  } catch (error) {
    expect(error).toBeInstanceOf(VakError);
    expect((error as VakError).code).toBe("invalid-module");
    return (error as VakError).message;
  }
  throw new Error("the module was admitted");
}

test.each<[string, Uint8Array, RegExp]>([
  ["nothing", new Uint8Array(), /^not a WebAssembly module: it is empty\.$/],
  [
    "another format",
    new Uint8Array([0x7f, 0x45, 0x4c, 0x46, 2]),
    /^not a WebAssembly module: starts with 7f 45 4c 46 /,
  ],
  ["a cut header", binary().subarray(0, 6), /^truncated, or a length or count is wrong \(at byte 6\)/],
  ["another version", new Uint8Array([0, 0x61, 0x73, 0x6d, 2, 0, 0, 0]), /version 1: the version is 02 00 00 00/],
  ["a component", new Uint8Array([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]), /component \(layer 1\)/],
  ["a cut section", binary([1, 9, 0]), /^truncated, or a length or count is wrong \(at byte 8\)/],
  ["an unknown section", binary([14, 0]), /^section 0x0e is not known \(at byte 8\)/],
  [
    "a duplicate section",
    binary(section(1, [0]), section(1, [0])),
    /^the type section is repeated or out of order \(at byte 11\)/,
  ],
  ["a misordered section", binary(section(3, [0]), section(1, [0])), /^the type section is repeated or out of order/],
  ["an endless LEB", binary([1, 0x80, 0x80, 0x80, 0x80, 0x80, 0]), /^an integer is too long \(at byte 9\)/],
  ["bytes left over", binary(section(1, [0, 0])), /^truncated, or a length or count is wrong \(at byte 11\)/],
  [
    "a huge count",
    binary(section(1, [0xff, 0xff, 0xff, 0x7f])),
    /^truncated, or a length or count is wrong \(at byte 10\)/,
  ],
  [
    "invalid code",
    binary(section(1, [1, 0x60, 0, 1, 0x7f]), section(3, [1, 0]), section(10, [1, 2, 0, 0x0b])),
    /^not a valid WebAssembly module: /,
  ],
])("%s is refused", (_, bytes, message) => {
  expect(refusal(bytes)).toMatch(message);
});

test.each<[string, string, RegExp]>([
  ["shared memory", "(memory 1 2 shared)", /shared memory \(threads\)/],
  ["imported shared memory", '(import "env" "memory" (memory 1 2 shared))', /shared memory \(threads\)/],
  ["an imported memory", '(import "env" "memory" (memory 1))', /^imports the memory "env" "memory": link the program/],
  ["an imported table", '(import "env" "t" (table 1 funcref))', /^imports the table "env" "t"/],
  [
    "too large a memory",
    "(memory 11)",
    /^the module starts with 11 pages of memory \(720896 bytes\); memoryBytes allows 655360/,
  ],
  ["too large a table", "(table 101 funcref)", /^a table starts with 101 elements; tableElements allows 100/],
  ["a reserved export", '(func (export "vak:fuel"))', /^exports "vak:fuel", a name that vak reserves/],
])("%s is refused", (_, text, message) => {
  expect(refusal(wat(`(module ${text})`))).toMatch(message);
});

test("a module over its size limit is refused before it is read", () => {
  expect(refusal(wat("(module (memory 1))"), { ...options, maxModuleBytes: 10 })).toMatch(
    /^the module is too large: 1\d bytes; the limit is 10\.$/,
  );
});

/** What a guest's own memory can grow to, one page at a time. */
function grown(text: string, given = options): number {
  const { bytes } = instrument(wat(text), given);
  const { memory } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as { memory: WebAssembly.Memory };
  try {
    for (;;) memory.grow(1);
  } catch {
    return memory.buffer.byteLength / 65_536;
  }
}

test("memory grows to the cap, or to the module's own maximum if that is less", () => {
  expect(grown('(module (memory (export "memory") 1))')).toBe(10);
  expect(grown('(module (memory (export "memory") 1 4))')).toBe(4);
  expect(grown('(module (memory (export "memory") 1 65536))')).toBe(10);
  expect(grown('(module (memory (export "memory") 0))', { ...options, memoryBytes: 65_535 })).toBe(0);
});

test("each of several memories may use its minimum and an equal share of what the minima leave", () => {
  const module = readModule(wat("(module (memory 1) (memory 3) (memory 0 2))"));
  expect(capMemories(module, 10 * 65_536)).toEqual([3, 5, 2]);
});

test("tables grow to the cap, or to their own maximum if that is less", () => {
  const limits = ["1", "1 50", "1 1000"].map((text) => {
    const { bytes } = instrument(wat(`(module (table (export "t") ${text} funcref))`), options);
    const { t } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as { t: WebAssembly.Table };
    try {
      for (;;) t.grow(1);
    } catch {
      return t.length;
    }
  });
  expect(limits).toEqual([100, 50, 100]);
});

test.each(["", '(func (export "other"))'])("the start function becomes an export (next to %j)", (exported) => {
  const program = `(module (import "m" "f" (func $f)) ${exported} (func $s (call $f)) (start $s))`;
  const { bytes, start, exports } = instrument(wat(program), options);
  let called = 0;
  const { exports: guest } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { m: { f: () => called++ } });
  expect(start).toBe("vak:start");
  expect(exports).toHaveLength(exported ? 1 : 0);
  expect(called).toBe(0);
  (guest[start!] as () => void)();
  expect(called).toBe(1);
});

test("an imported start function becomes an export too", () => {
  const { bytes, start } = instrument(wat('(module (import "m" "f" (func $f)) (start $f))'), options);
  let called = 0;
  const { exports: guest } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { m: { f: () => called++ } });
  (guest[start!] as () => void)();
  expect(called).toBe(1);
});

test("imports and exports are reported with their types, in order", () => {
  const { imports, exports, start } = instrument(
    wat(`(module
      (import "a" "f" (func (param i32 i64 f32 f64) (result externref funcref)))
      (import "b" "" (global (mut i32)))
      (import "a" "\\ef\\bb\\bft" (tag (param v128)))
      (func (export "x")) (memory (export "memory") 1))`),
    options,
  );
  expect(imports).toEqual([
    { module: "a", name: "f", kind: "func", params: ["i32", "i64", "f32", "f64"], results: ["externref", "funcref"] },
    { module: "b", name: "", kind: "global" },
    { module: "a", name: "\ufefft", kind: "tag", params: ["v128"], results: [] },
  ]);
  expect(exports).toEqual([
    { name: "x", kind: "func" },
    { name: "memory", kind: "memory" },
  ]);
  expect(start).toBeUndefined();
});

test("custom sections are kept, except those that point into the code", () => {
  const { bytes } = instrument(
    binary(
      custom("producers", 0),
      section(5, [1, 0, 1]),
      custom(".debug_line", 1),
      custom("sourceMappingURL", 1),
      custom("name"),
    ),
    options,
  );
  const names = ["producers", "name", ".debug_line", "sourceMappingURL"];
  const module = new WebAssembly.Module(bytes);
  expect(names.map((name) => WebAssembly.Module.customSections(module, name).length)).toEqual([1, 1, 0, 0]);
});

const seeds = [
  `(module (import "m" "f" (func (param i32) (result i64))) (memory (export "memory") 1 20) (table 3 funcref)
    (elem (i32.const 0) func 1 2) (data (i32.const 8) "hello") (global (mut i64) (i64.const 5))
    (func (export "a") (param i32) (result i32) (loop (br_if 0 (i32.eqz (local.get 0)))) (local.get 0))
    (func (export "b") (drop (call 0 (i32.const 1)))) (start 2))`,
  `(module (tag $e (param i32)) (table 1 10 externref) (memory 0)
    (func (result i32) (try (result i32) (do (throw $e (i32.const 1))) (catch $e))) (export "t" (table 0)))`,
  `(module (func (param v128) (result v128 f64) (f64.const 1) (drop) (local.get 0) (f64.const 2)))`,
].map(wat);

test("fuzz: mutated modules are refused with a VakError or come out valid", () => {
  const mutation = fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), byte: fc.nat(255), kind: fc.nat(2) });
  let tried = 0;
  let admitted = 0;
  fc.assert(
    fc.property(fc.constantFrom(...seeds), fc.array(mutation, { maxLength: 4 }), (seed, mutations) => {
      tried++;
      let bytes = [...seed];
      for (const { at, byte, kind } of mutations) {
        const index = Math.floor(at * bytes.length);
        if (kind === 0) bytes[index] = byte;
        else if (kind === 1) bytes.splice(index, 0, byte);
        else bytes = bytes.slice(0, index);
      }
      try {
        const metered = instrument(new Uint8Array(bytes), options);
        admitted++;
        expect(WebAssembly.validate(metered.bytes)).toBe(true);
      } catch (error) {
        if (!(error instanceof VakError)) throw error;
        expect(error.code).toBe("invalid-module");
      }
    }),
    { numRuns: 3000 * fuzzFactor },
  );
  console.log(`${tried} mutated modules, ${admitted} of them admitted and valid, the others refused`);
  expect(admitted).toBeGreaterThan(300);
});
