/** Random programs do the same when metered, and use the fuel that the oracle counts, for any budget and slice. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { wat } from "./assemble.ts";
import { OPTION_SETS, runMetered, runOracle } from "./harness.ts";

const FUNCTIONS = 4;
const LOCALS = 4;

const local = fc.nat(LOCALS - 1).map((n) => `$l${n}`);
const constant = fc.oneof(fc.integer({ min: -2, max: 9 }), fc.constantFrom(100, 65_530, -(2 ** 31)));
/** Labels may have any depth: they are reduced to those that exist. */
const label = fc.nat(12);

const expression: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    constant.map((n) => `(i32.const ${n})`),
    local.map((name) => `(local.get ${name})`),
    fc.constant("(global.get $g)"),
    fc
      .tuple(fc.constantFrom("add", "sub", "mul", "and", "xor", "lt_s", "shr_u"), tie("value"), tie("value"))
      .map(([op, a, b]) => `(i32.${op} ${a} ${b})`),
    tie("value").map((value) => `(i32.load (i32.and ${value} (i32.const 0xfff)))`),
    fc.tuple(tie("value"), tie("value"), tie("value")).map((values) => `(select ${values.join(" ")})`),
    fc
      .tuple(tie("value"), tie("value"), tie("value"))
      .map(([c, a, b]) => `(if (result i32) ${c} (then ${a}) (else ${b}))`),
    fc.tuple(tie("value"), tie("value")).map(([a, b]) => `(block (result i32) (drop ${a}) ${b})`),
    tie("value").map(
      (value) => `(i32.trunc_sat_f64_s (f64.mul (f64.convert_i32_s ${value}) (f64.sqrt (f64.load (i32.const 8)))))`,
    ),
  ),
})).value;

const statement: fc.Arbitrary<string> = fc.letrec<{ one: string; many: string }>((tie) => ({
  many: fc.array(tie("one"), { maxLength: 4 }).map((all) => all.join("\n")),
  one: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.tuple(local, expression).map(([name, value]) => `(local.set ${name} ${value})`),
    expression.map((value) => `(global.set $g ${value})`),
    fc.tuple(expression, expression).map(([at, value]) => `(i32.store (i32.and ${at} (i32.const 0xfff)) ${value})`),
    expression.map((value) => `(call $log ${value})`),
    fc.tuple(fc.nat(FUNCTIONS - 1), expression).map(([n, value]) => `(call $f${n} ${value})`),
    fc
      .tuple(expression, expression)
      .map(([n, value]) => `(call_indirect (type $t) ${value} (i32.and ${n} (i32.const 3)))`),
    fc
      .tuple(fc.nat(FUNCTIONS - 1), expression)
      .map(([n, value]) => `(if (i32.and ${value} (i32.const 1)) (then (return_call $f${n} ${value})))`),
    tie("many").map((body) => `(block ${body})`),
    tie("many").map((body) => `(loop ${body})`),
    fc
      .tuple(expression, tie("many"))
      .map(
        ([value, body]) =>
          `(loop ${body} (br_if 0 (i32.lt_s (local.tee $l0 (i32.add (local.get $l0) (i32.const 1))) ${value})))`,
      ),
    fc.tuple(expression, tie("many"), tie("many")).map(([value, a, b]) => `(if ${value} (then ${a}) (else ${b}))`),
    fc.tuple(label, expression).map(([n, value]) => `(br_if @${n} ${value})`),
    fc
      .tuple(label, label, label, expression)
      .map(([a, b, c, value]) => `(if ${value} (then (br_table @${a} @${b} @${c} ${value})))`),
    expression.map((value) => `(if (i32.eqz ${value}) (then (return)))`),
    fc.tuple(fc.nat(300), expression).map(([n, value]) => `(memory.fill (i32.const 512) ${value} (i32.const ${n}))`),
    fc
      .tuple(tie("many"), tie("many"))
      .map(([body, caught]) => `(try (do ${body}) (catch $e (global.set $g)) (catch_all ${caught}))`),
    expression.map((value) => `(if (i32.gt_s ${value} (i32.const 5)) (then (throw $e ${value})))`),
    expression.map((value) => `(if (i32.eq ${value} (i32.const 77)) (then (unreachable)))`),
    label.map((n) => `(br @${n})`),
    fc.constant("(return)"),
    fc.constant("(nop)"),
  ),
})).many;

/** Replaces `@n` with a label that exists: the text has one for each block, loop, if and try around it. */
function cutLabels(body: string): string {
  let depth = 0;
  const opened: boolean[] = [];
  return body.replace(
    /\((block|loop|if|try)\b|\(|\)|@(\d+)/g,
    (token, opens: string | undefined, n: string | undefined) => {
      if (n !== undefined) return String(Number(n) % (depth + 1));
      if (token === ")") depth -= opened.pop() ? 1 : 0;
      else {
        opened.push(opens !== undefined);
        depth += opens === undefined ? 0 : 1;
      }
      return token;
    },
  );
}

const program = fc.array(statement, { minLength: FUNCTIONS, maxLength: FUNCTIONS }).map((bodies) => {
  const functions = bodies.map(
    (body, n) => `(func $f${n} (type $t) (param $l0 i32) (local ${"i32 ".repeat(LOCALS - 1)})\n${cutLabels(body)})`,
  );
  for (let n = 1; n < LOCALS; n++)
    for (const k of functions.keys()) functions[k] = functions[k]!.replaceAll(`$l${n}`, String(n));
  return `(module
    (import "env" "log" (func $log (param i32)))
    (type $t (func (param i32)))
    (tag $e (param i32))
    (memory (export "memory") 1)
    (table funcref (elem $f0 $f1 $f2 $f3))
    (global $g (mut i32) (i32.const 3))
    ${functions.join("\n")}
    (func (export "main") (param i32) (result i32) (call $f0 (local.get 0)) (global.get $g)))`;
});

const BUDGET = 3000;
const RUNS = 400;

test(`${RUNS} random programs do the same when metered`, () => {
  const ends: Record<string, number> = {};
  fc.assert(
    fc.property(program, fc.integer({ min: -1, max: 5 }), fc.nat(BUDGET), (text, argument, smaller) => {
      const bytes = wat(text);
      expect(WebAssembly.validate(bytes)).toBe(true);
      for (const budget of [BUDGET, smaller]) {
        const oracle = runOracle(bytes, [argument], budget);
        for (const [options, ...slices] of OPTION_SETS) {
          for (const slice of slices) {
            const metered = runMetered(bytes, [argument], options, { fuel: budget, ...(slice && { slice }) });
            const where = JSON.stringify({ argument, budget, options, slice });
            expect({ result: metered.result, log: metered.log, fuel: metered.fuel }, where).toEqual({
              result: oracle.result,
              log: oracle.log,
              fuel: oracle.fuel,
            });
            if (oracle.result !== "exhausted") expect(metered.memory, where).toBe(oracle.memory);
          }
        }
        const end = oracle.result.split(" ")[0]!;
        ends[end] = (ends[end] ?? 0) + 1;
      }
    }),
    { numRuns: RUNS },
  );
  console.log(`random programs, by how they ended: ${JSON.stringify(ends)}`);
  for (const end of ["ok", "exhausted"]) expect(ends[end]).toBeGreaterThan(10);
});
