/** Benchmark of spawning: from the call that spawns an agent to its program's first output. */
import type { Section } from "./harness.ts";
import type { Program } from "./page/spawn.ts";
import { type Pair, ratioCells } from "./stats.ts";

/** The time from starting a program in a worker to the first bytes that it prints, compared with a bare worker. */
export const spawn: Section = {
  name: "spawn",
  where: "browser",
  async measure({ browser, times, launch }) {
    const rows: string[][] = [];
    for (const program of ["hello", "python"] satisfies Program[]) {
      const small = program === "hello";
      const cold: Pair[] = [];
      const warm: Pair[] = [];
      const again: Pair[] = [];
      for (let i = 0; i < times(small ? 4 : 2, 1); i++) {
        await using browser = await launch();
        for (let j = 0; j < times(small ? 4 : 2, 1); j++) {
          const took = { vak: 0, bare: 0 };
          // They take turns at being first in a fresh browser.
          for (const side of (i + j) % 2 ? (["vak", "bare"] as const) : (["bare", "vak"] as const)) {
            await using tab = await browser.visit("spawn");
            await tab.call("prepare", program);
            await tab.call("rest");
            took[side] = await tab.call(side, "compile");
          }
          cold.push([took.vak, took.bare]);
        }
        await using tab = await browser.visit("spawn");
        await tab.call("prepare", program);
        for (let j = -2; j < times(small ? 10 : 4, 3); j++) {
          await tab.call("rest");
          const bare: number = await tab.call("bare", "compiled");
          await tab.call("rest");
          const vak: number = await tab.call("vak");
          const vakAgain: number = await tab.call("vakAgain");
          if (j < 0) continue;
          warm.push([vak, bare]);
          again.push([vakAgain, bare]);
        }
      }
      const name = small ? "hello" : "CPython, `print(1)`";
      rows.push([`${name}: cold`, ...ratioCells(cold, "ms"), small ? "≤ 1.5" : ""]);
      rows.push([`${name}: warm`, ...ratioCells(warm, "ms"), small ? "≤ 2" : ""]);
      rows.push([`${name}: warm, right after another spawn`, ...ratioCells(again, "ms"), ""]);
    }
    const head = ["spawn to first output", "vak", "bare worker", "ratio", "middle half", "pairs", "target"];
    return [{ title: `spawn, ${browser}`, head, rows }];
  },
};
