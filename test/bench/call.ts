/** Benchmark of a call: how long a tool call takes as the guest sees it, compared with a bare round trip. */
import type { Section } from "./harness.ts";
import { type Pair, ratioCells } from "./stats.ts";

/** The time of one tool call, averaged over 1000 in a row. */
export const call: Section = {
  name: "call",
  where: "browser",
  async measure({ browser, times, launch }) {
    const allowed: Record<"bare" | "commit" | "commits", Pair[]> = { bare: [], commit: [], commits: [] };
    const denied: Record<"bare" | "commit", Pair[]> = { bare: [], commit: [] };
    for (let i = 0; i < times(3, 1); i++) {
      await using browser = await launch();
      await using tab = await browser.visit("call");
      for (let j = -1; j < times(3, 1); j++) {
        const governed: number = await tab.call("vakAllowed");
        const bare: number = await tab.call("bare", 0);
        const twoCommits: number = await tab.call("bare", 2);
        const refused: number = await tab.call("vakDenied");
        const oneCommit: number = await tab.call("bare", 1);
        if (j < 0) continue;
        allowed.bare.push([governed, bare]);
        allowed.commit.push([governed, oneCommit]);
        allowed.commits.push([governed, twoCommits]);
        denied.bare.push([refused, bare]);
        denied.commit.push([refused, oneCommit]);
      }
    }
    const rows = [
      ["allowed, against a bare round trip", ...ratioCells(allowed.bare, "µs")],
      ["allowed, against one with one commit", ...ratioCells(allowed.commit, "µs")],
      ["allowed, against one with two commits", ...ratioCells(allowed.commits, "µs")],
      ["denied, against a bare round trip", ...ratioCells(denied.bare, "µs")],
      ["denied, against one with one commit", ...ratioCells(denied.commit, "µs")],
    ];
    return [{ title: `call, ${browser}`, head: ["a call", "vak", "bare", "ratio", "middle half", "pairs"], rows }];
  },
};
