/** Canonical JSON against the examples of RFC 8785, and properties of it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalBytes, canonicalJson, parseCanonical } from "../../../src/base/canonical.ts";
import { VakError } from "../../../src/errors.ts";

describe("canonical JSON", () => {
  test("the examples of RFC 8785", () => {
    // §3.2.2
    const sample = {
      numbers: [333333333.3333333, 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
      string: '€$\u000f\nA\'B"\\\\"/',
      literals: [null, true, false],
    };
    expect(canonicalJson(sample)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
    // §3.2.3: by UTF-16 code units, not by code points
    const sorted = { "\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": 7 };
    expect(Object.values(JSON.parse(canonicalJson(sorted)))).toEqual([4, 2, 6, 7, 1, 5, 3]);
    // Appendix B
    for (const [value, text] of [
      [-0, "0"],
      [5e-324, "5e-324"],
      [1.7976931348623157e308, "1.7976931348623157e+308"],
      [9007199254740994, "9007199254740994"],
      [295147905179352830000, "295147905179352830000"],
      [1e21, "1e+21"],
      [0.000001, "0.000001"],
    ] as const) {
      expect(canonicalJson(value)).toBe(text);
    }
  });

  test("has one spelling for each value", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
        const bytes = canonicalBytes(value);
        expect(canonicalJson(parseCanonical(bytes))).toBe(canonicalJson(value));
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "binary" }), fc.integer()), (object) => {
        const shuffled = Object.fromEntries(Object.entries(object).reverse());
        const wellFormed = Object.keys(object).every((key) => key.isWellFormed());
        if (wellFormed) expect(canonicalJson(shuffled)).toBe(canonicalJson(object));
        else expect(() => canonicalJson(object)).toThrow(VakError);
      }),
    );
  });

  const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
  test.each([
    ["undefined", undefined],
    ["a field that is undefined", { a: undefined }],
    ["a hole", new Array(3)],
    ["NaN", Number.NaN],
    ["Infinity", [Number.POSITIVE_INFINITY]],
    ["a bigint", 1n],
    ["a function", () => {}],
    ["a symbol", Symbol()],
    ["a date", new Date(0)],
    ["a map", new Map()],
    ["bytes", new Uint8Array(1)],
    ["a lone surrogate", "a\ud800"],
    ["a lone surrogate in a key", { "\udc00": 1 }],
    ["65 levels", nested(65)],
  ])("refused: %s", (_, value) => {
    expect(() => canonicalJson(value)).toThrow(VakError);
  });

  test("allows 64 levels, and objects without a prototype", () => {
    expect(canonicalJson(nested(64))).toBe(`${"[".repeat(64)}1${"]".repeat(64)}`);
    expect(canonicalJson(Object.assign(Object.create(null), { a: 1 }))).toBe('{"a":1}');
    expect(canonicalJson(JSON.parse('{"__proto__":1,"b":2}'))).toBe('{"__proto__":1,"b":2}');
  });

  test.each([
    ["a space", '{"a": 1}'],
    ["a newline", '{"a":1}\n'],
    ["another order", '{"b":1,"a":2}'],
    ["a key twice", '{"a":1,"a":1}'],
    ["a spelled-out letter", '"\\u0061"'],
    ["another number", "1.0"],
    ["minus zero", "-0"],
    ["a number that is rounded", "9007199254740993"],
    ["a byte order mark", "\ufeff1"],
    ["too deep", "[".repeat(65) + "]".repeat(65)],
    ["far too deep", "[".repeat(60_000) + "]".repeat(60_000)],
    ["a lone surrogate", '"\\ud800"'],
    ["nothing", ""],
  ])("not canonical: %s", (_, text) => {
    expect(() => parseCanonical(new TextEncoder().encode(text))).toThrow(VakError);
  });

  test("random text is accepted or refused with a VakError", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("{", "}", "[", "]", '"', "a", ":", ",", "1", "-", "\\", " ")), (parts) => {
        const bytes = new TextEncoder().encode(parts.join(""));
        try {
          expect(canonicalBytes(parseCanonical(bytes))).toEqual(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(VakError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("every spelling but the canonical one is refused", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), fc.nat(2), (value, indent) => {
        let canonical: string | undefined;
        try {
          canonical = canonicalJson(value);
        } catch {} // it holds a lone surrogate
        const text = JSON.stringify(value, null, indent);
        const read = () => canonicalJson(parseCanonical(new TextEncoder().encode(text)));
        if (text === canonical) expect(read()).toBe(text);
        else expect(read).toThrow(VakError);
      }),
      { numRuns: 2000 },
    );
  });
});
