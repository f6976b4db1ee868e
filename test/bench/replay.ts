import type { Section } from "./harness.ts";
import { type Pair, ratioCells } from "./stats.ts";

/** What it costs to record a run, and to execute it again. */
export const replay: Section = {
  name: "replay",
  where: "browser",
  async measure({ browser, times, launch }) {
    const recorded: Record<"python" | "calls", Pair[]> = { python: [], calls: [] };
    const again: Record<"python" | "long" | "calls", Pair[]> = { python: [], long: [], calls: [] };
    const rewound: Pair[] = [];
    const first: Pair[] = [];
    for (let i = 0; i < times(3, 1); i++) {
      await using browser = await launch();
      await using tab = await browser.visit("replay");
      for (const kind of ["python", "calls"] as const) {
        recorded[kind].push(...(await tab.call("record", kind, times(5, 2))));
      }
      for (const kind of ["python", "long", "calls"] as const) {
        for (let j = 0; j < times(3, 1); j++) again[kind].push(await tab.call("again", kind));
      }
      const went = await tab.call("rewind", times(5, 2));
      rewound.push(...went.rewound);
      first.push(went.first);
    }
    const rows = [
      ["a CPython script recorded, beside not", ...ratioCells(recorded.python, "ms")],
      ["1000 calls recorded, beside not", ...ratioCells(recorded.calls, "ms")],
      ["a CPython script replayed, beside its run", ...ratioCells(again.python, "ms")],
      ["a CPython script of seconds replayed, beside its run", ...ratioCells(again.long, "ms")],
      ["1000 calls replayed, beside their run", ...ratioCells(again.calls, "ms")],
      ["back to the middle of a CPython script from a checkpoint, beside from the start", ...ratioCells(rewound, "ms")],
      ["the first replay, which makes the checkpoints, beside one without", ...ratioCells(first, "ms")],
    ];
    return [{ title: `replay, ${browser}`, head: ["what", "it", "beside", "ratio", "middle half", "pairs"], rows }];
  },
};
