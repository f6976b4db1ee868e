/**
 * Typed references and garbage collection. There is no assembler for them here, so programs are lists of encoded
 * instructions, and the oracle puts a call before each.
 */
import { describe, expect, test } from "vitest";
import { attach, instrument } from "../../../src/meter/index.ts";
import { binary, section } from "./assemble.ts";
import { OPTION_SETS } from "./harness.ts";

type Instruction = number[];
interface Func {
  type: number;
  /** Groups: how many, and their type's bytes. */
  locals: [number, number[]][];
  code: Instruction[];
}

const I32 = 0x7f;
const get = (index: number) => [0x20, index];
const set = (index: number) => [0x21, index];
const tee = (index: number) => [0x22, index];
const i32 = (value: number) => [0x41, value];
const add = [0x6a];
const sub = [0x6b];
const end = [0x0b];
const loop = (...type: number[]) => [0x03, ...(type.length ? type : [0x40])];
const block = (...type: number[]) => [0x02, ...(type.length ? type : [0x40])];
const br = (label: number) => [0x0c, label];
const brIf = (label: number) => [0x0d, label];
const drop = [0x1a];
const gc = (op: number, ...immediates: number[]) => [0xfb, op, ...immediates];

const FREE = new Set([0x01, 0x1a, 0x02, 0x03, 0x05, 0x0b, 0x0f, 0x00]);
/** array.new, new_default, new_data, new_elem, fill, copy, init_data, init_elem */
const BULK = new Set([0x06, 0x07, 0x09, 0x0a, 0x10, 0x11, 0x12, 0x13]);

/**
 * Types: 0 i32→i32, 1 a struct of an i32 and a reference to its own type, 2 an array of i32, 3 an array of i8, then
 * the oracle's.
 */
const TYPES = [
  [0x60, 1, I32, 1, I32],
  [0x5f, 2, I32, 1, 0x63, 1, 1],
  [0x5e, I32, 1],
  [0x5e, 0x78, 1],
  [0x60, 0, 0],
  [0x60, 0, 1, I32],
];

function assemble(functions: Func[], counted: boolean): Uint8Array<ArrayBuffer> {
  const tick = functions.length;
  const bulk = tick + 1;
  const bodies = functions.map(({ locals, code }) => {
    const all = code.flatMap((instruction) => [
      ...(counted && instruction[0] === 0xfb && BULK.has(instruction[1]!) ? [0x10, bulk] : []),
      ...(counted && !FREE.has(instruction[0]!) ? [0x10, tick] : []),
      ...instruction,
    ]);
    return [
      locals.length,
      ...locals.flatMap(([n, type]) => [n, ...type]),
      ...(counted ? [0x10, tick] : []),
      ...all,
      0x0b,
    ];
  });
  // tick, bulk, and the export "used".
  bodies.push(
    [0, 0x23, 0, 0x41, 1, 0x6a, 0x24, 0, 0x0b],
    [0, 0x23, 0, 0x20, 0, 0x6a, 0x24, 0, 0x20, 0, 0x0b],
    [0, 0x23, 0, 0x0b],
  );
  const size = (n: number) => (n < 128 ? [n] : [(n & 0x7f) | 0x80, n >> 7]);
  const name = (text: string) => [text.length, ...new TextEncoder().encode(text)];
  const main = functions.length - 1;
  return binary(
    section(1, [TYPES.length, ...TYPES.flat()]),
    section(3, [bodies.length, ...functions.map(({ type }) => type), 4, 0, 5]),
    section(6, [1, I32, 1, 0x41, 0, 0x0b]),
    section(7, [2, ...name("main"), 0, main, ...name("used"), 0, bulk + 1]),
    // Declares every function, so that ref.func may name it; and a passive segment for array.new_elem and the like.
    section(9, [1, 3, 0, functions.length, ...functions.keys()]),
    section(12, [1]),
    section(10, [bodies.length, ...bodies.flatMap((body) => [...size(body.length), ...body])]),
    section(11, [1, 1, 4, 1, 2, 3, 4]),
  );
}

/** n → the sum n + (n-1) + …, slowly, with its counter in a local. */
const work: Func = {
  type: 0,
  locals: [[1, [I32]]],
  code: [loop(), get(1), get(0), add, set(1), get(0), i32(1), sub, tee(0), brIf(0), end, get(1)],
};

const PROGRAMS: { name: string; functions: Func[]; expected: (n: number) => number }[] = [
  {
    name: "call_ref in a loop",
    expected: (n) => n * 6,
    functions: [
      work,
      {
        type: 0,
        locals: [
          [1, [I32]],
          [1, [0x64, 0]],
        ],
        code: [
          ...[[0xd2, 0], set(2)],
          ...[loop(), i32(3), get(2), [0x14, 0], get(1), add, set(1)],
          ...[get(0), i32(1), sub, tee(0), brIf(0), end, get(1)],
        ],
      },
    ],
  },
  {
    name: "return_call_ref",
    expected: () => 0,
    functions: [
      {
        type: 0,
        locals: [[1, [I32]]],
        code: [
          ...[loop(), get(1), i32(1), add, tee(1), i32(3), [0x48], brIf(0), end],
          ...[block(), get(0), brIf(0), i32(0), [0x0f], end],
          ...[get(0), i32(1), sub, [0xd2, 0], [0x15, 0]],
        ],
      },
      { type: 0, locals: [], code: [get(0), [0x10, 0]] },
    ],
  },
  {
    name: "structs, casts and branches on them",
    expected: (n) => n * 7,
    functions: [
      {
        type: 0,
        // A list of n nodes, then its sum: block types and locals of type (ref null 1).
        locals: [
          [1, [0x63, 1]],
          [1, [I32]],
        ],
        code: [
          ...[loop(), i32(7), get(1), gc(0x00, 1), set(1), get(0), i32(1), sub, tee(0), brIf(0), end],
          block(),
          ...[loop(0x63, 1), get(1), [0xd5, 1], tee(1), gc(0x02, 1, 0), get(2), add, set(2)],
          ...[get(1), gc(0x02, 1, 1), set(1)],
          ...[block(0x63, 0x6d), get(1), gc(0x18, 3, 0, 0x6d, 1), end, drop],
          ...[br(0), end, drop, end],
          ...[block(0x64, 1), gc(0x01, 1), gc(0x19, 3, 0, 1, 0x71), [0xd1], drop, i32(1), [0x0f], end, drop],
          ...[[0xd0, 0x71], [0xd1], drop, i32(5), gc(0x1c), gc(0x1d), drop],
          ...[block(0x64, 1), gc(0x01, 1), [0xd6, 0], [0x00], end, drop],
          get(2),
        ],
      },
    ],
  },
  {
    name: "arrays in bulk",
    expected: (n) => 3 * n + 1,
    functions: [
      {
        type: 0,
        locals: [
          [2, [0x63, 2]],
          [1, [0x63, 3]],
          [1, [I32]],
        ],
        code: [
          ...[i32(3), get(0), gc(0x06, 2), set(1)],
          ...[get(0), gc(0x07, 2), set(2)],
          ...[get(2), i32(0), get(1), i32(0), get(0), gc(0x11, 2, 2)],
          ...[get(1), i32(0), i32(9), get(0), gc(0x10, 2)],
          ...[i32(1), i32(2), i32(3), gc(0x08, 2, 3), drop],
          ...[i32(0), i32(4), gc(0x09, 3, 0), tee(3), i32(1), i32(0), i32(2), gc(0x12, 3, 0)],
          ...[loop(), get(2), get(0), i32(1), sub, tee(0), gc(0x0b, 2), get(4), add, set(4), get(0), brIf(0), end],
          ...[get(3), i32(1), gc(0x0d, 3), get(4), add],
        ],
      },
    ],
  },
];

export function referenceCases(): void {
  const supported = WebAssembly.validate(assemble([work], false));
  describe.skipIf(!supported)(
    "typed references and garbage collection (skipped if this engine does not have them)",
    () => {
      for (const { name, functions, expected } of PROGRAMS) {
        test(`${name}: does the same when metered, and uses the fuel that the oracle counts`, () => {
          const plain = assemble(functions, false);
          const oracle = new WebAssembly.Instance(new WebAssembly.Module(assemble(functions, true))).exports as Guest;
          for (const n of [1, 2, 50]) {
            const before = oracle.used();
            expect(oracle.main(n)).toBe(expected(n));
            const fuel = oracle.used() - before;
            for (const [options, ...slices] of OPTION_SETS) {
              for (const slice of slices) {
                const { bytes } = instrument(plain, { fuel: true, ...options });
                const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes));
                const meter = attach(instance.exports, { fuel: 1e9, ...(slice !== undefined && { slice }) });
                if (slice !== undefined) meter.refillWith(() => void meter.grant(slice));
                expect((instance.exports as unknown as Guest).main(n)).toBe(expected(n));
                expect(meter.used, JSON.stringify({ n, options, slice })).toBe(fuel);
              }
            }
          }
        });
      }

      test("the arrays in constant expressions are bounded", () => {
        const withGlobal = (...length: number[]) =>
          binary(section(1, [1, 0x5e, I32, 1]), section(6, [1, 0x63, 0, 0, ...length, 0xfb, 0x07, 0, 0x0b]));
        expect(instrument(withGlobal(0x41, 0x0a)).exports).toEqual([]);
        expect(() => instrument(withGlobal(0x41, 0xff, 0xff, 0xff, 0x00))).toThrow(
          /allocate more than 1000000 array elements/,
        );
        expect(() => instrument(withGlobal(0x41, 0x0a, 0x41, 0x0a, 0x6c))).toThrow(/must be an i32.const/);
      });
    },
  );
}

type Guest = WebAssembly.Exports & { main: (n: number) => number; used: () => number };
