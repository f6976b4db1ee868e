/** What must be true of fuel in every engine: run in Node and in browsers. */
import { describe, expect, test } from "vitest";
import { engine } from "../../setup/engine.ts";
import { wat } from "./assemble.ts";
import { OPTION_SETS, runMetered, runOracle, runPlain } from "./harness.ts";
import { NEWER_PROGRAMS, PROGRAMS } from "./programs.ts";

/** Whether the meter knows where the trap was: others are counted by block. */
const isExact = (result: string) => !/^trap (?!unreachable)/.test(result);

/**
 * Node tries every budget below. Each browser tries a third of them, and those at the ends; what Node lacks, each
 * browser tries in full.
 */
const share = { node: undefined, chromium: 0, firefox: 1, webkit: 2 }[engine];

export function fuelCases(): void {
  for (const { name, text, args } of [...PROGRAMS, ...NEWER_PROGRAMS]) {
    const bytes = wat(text);
    const newer = NEWER_PROGRAMS.some((program) => program.name === name);
    const missing = newer && !WebAssembly.validate(bytes);
    const shared = share !== undefined && !newer;
    describe.skipIf(missing)(`${name}${missing ? " (this engine does not have it)" : ""}`, () => {
      test("does the same when metered, and uses the fuel that the oracle counts", () => {
        for (const values of args) {
          const plain = runPlain(bytes, values);
          const oracle = runOracle(bytes, values);
          expect(oracle).toMatchObject({ result: plain.result, log: plain.log, memory: plain.memory });
          let counted: number | undefined;
          for (const [options, ...slices] of OPTION_SETS) {
            for (const slice of slices) {
              const { result, log, fuel, memory } = runMetered(
                bytes,
                values,
                options,
                slice === undefined ? {} : { slice },
              );
              expect({ result, log, memory }, JSON.stringify({ values, options, slice })).toEqual({
                result: plain.result,
                log: plain.log,
                memory: plain.memory,
              });
              // Where the count is not exact, it is at least always the same.
              counted ??= fuel;
              const expected = isExact(plain.result) ? oracle.fuel : counted;
              expect(fuel, JSON.stringify({ values, options, slice })).toBe(expected);
            }
          }
        }
      });

      test("with every budget it ends where the oracle ends", () => {
        for (const values of args) {
          const total = runOracle(bytes, values).fuel;
          const exact = isExact(runPlain(bytes, values).result);
          const step = Math.max(1, Math.floor(total / 60));
          const next = (budget: number) =>
            budget > 30 && budget < total - 30 ? Math.min(budget + step, total - 30) : budget + 1;
          let n = 0;
          for (let budget = 0; budget <= total + 1; budget = next(budget)) {
            if (shared && budget > 1 && budget < total - 1 && n++ % 3 !== share) continue;
            if (!exact && budget >= total - 30) continue;
            const oracle = runOracle(bytes, values, budget);
            for (const [options, ...slices] of [OPTION_SETS[0]!, OPTION_SETS[1]!, OPTION_SETS[4]!]) {
              const { result, log, fuel } = runMetered(bytes, values, options, {
                fuel: budget,
                ...(slices[1] && { slice: slices[1] }),
              });
              const where = JSON.stringify({ values, options, budget });
              expect(result, where).toBe(oracle.result);
              expect(log, where).toEqual(oracle.log);
              expect(fuel, where).toBe(oracle.fuel);
            }
          }
        }
      });
    });
  }
}
