import type { Section } from "./harness.ts";
import { type Pair, ratioCells } from "./stats.ts";

/** What it costs to record a run, and to execute it again. */
export const replay: Section = {
  name: "replay",
  where: "browser",
  async measure({ browser, times, launch }) {
    const recorded: Record<"python" | "calls", Pair[]> = { python: [], calls: [] };
    const again: Record<"python" | "calls", Pair[]> = { python: [], calls: [] };
    for (let i = 0; i < times(3, 1); i++) {
      await using browser = await launch();
      await using tab = await browser.visit("replay");
      for (const kind of ["python", "calls"] as const) {
        recorded[kind].push(...(await tab.call("record", kind, times(5, 2))));
        for (let j = 0; j < times(3, 1); j++) again[kind].push(await tab.call("again", kind));
      }
    }
    const rows = [
      ["a CPython script recorded, beside not", ...ratioCells(recorded.python, "ms")],
      ["1000 calls recorded, beside not", ...ratioCells(recorded.calls, "ms")],
      ["a CPython script replayed, beside its run", ...ratioCells(again.python, "ms")],
      ["1000 calls replayed, beside their run", ...ratioCells(again.calls, "ms")],
    ];
    return [{ title: `replay, ${browser}`, head: ["what", "it", "beside", "ratio", "middle half", "pairs"], rows }];
  },
};
