/** Benchmark of replay: what it costs to record a run, to replay it, and to rewind it. */
import type { Section } from "./harness.ts";
import { type Pair, ratioCells } from "./stats.ts";

/** The cost of recording a run, of replaying it, and of rewinding from a checkpoint. */
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
      ["a CPython script recorded, against unrecorded", ...ratioCells(recorded.python, "ms")],
      ["1000 calls recorded, against unrecorded", ...ratioCells(recorded.calls, "ms")],
      ["a CPython script replayed, against its run", ...ratioCells(again.python, "ms")],
      ["a CPython script of several seconds replayed, against its run", ...ratioCells(again.long, "ms")],
      ["1000 calls replayed, against their run", ...ratioCells(again.calls, "ms")],
      [
        "a CPython script rewound to its middle from a checkpoint, against from the start",
        ...ratioCells(rewound, "ms"),
      ],
      ["the first replay, which makes checkpoints, against one without them", ...ratioCells(first, "ms")],
    ];
    return [
      {
        title: `replay, ${browser}`,
        head: ["what", "measured", "compared with", "ratio", "middle half", "pairs"],
        rows,
      },
    ];
  },
};
