/** Benchmark of a decision: vak's engine compared with a direct call of Cedar. */
import type { Section } from "./harness.ts";
import { type Pair, ratioCells } from "./stats.ts";

/** A decision by the engine, compared with Cedar's `statefulIsAuthorized`, with 10 to 1000 policies. */
export const policy: Section = {
  name: "policy",
  where: "browser",
  async measure({ browser, times, launch }) {
    const rows: string[][] = [];
    for (const count of [10, 100, 1000]) {
      const pairs: Pair[] = [];
      for (let i = 0; i < times(3, 1); i++) {
        await using browser = await launch();
        await using tab = await browser.visit("policy");
        pairs.push(...((await tab.call("decide", count, times(20, 6), count === 1000 ? 50 : 300)) as Pair[]));
      }
      rows.push([`${count} policies`, ...ratioCells(pairs, "µs")]);
    }
    const head = ["a decision", "vak", "statefulIsAuthorized", "ratio", "middle half", "pairs"];
    return [{ title: `policy, ${browser}`, head, rows }];
  },
};
