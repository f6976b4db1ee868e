/** Benchmark of stopping: how long a spinning program takes to stop. */
import type { Section } from "./harness.ts";
import { figure, quantile } from "./stats.ts";

/** The time from aborting a spinning program to its result, compared with terminating a bare worker. */
export const stop: Section = {
  name: "stop",
  where: "browser",
  async measure({ browser, times, launch }) {
    const took: Record<"idle" | "busy" | "terminate", number[]> = { idle: [], busy: [], terminate: [] };
    for (let i = 0; i < times(3, 1); i++) {
      await using browser = await launch();
      await using tab = await browser.visit("stop", { isolated: true });
      await tab.call("vak", 5, "idle");
      for (let j = 0; j < times(4, 1); j++) {
        took.idle.push(...(await tab.call("vak", 20, "idle")));
        took.busy.push(...(await tab.call("vak", 20, "busy")));
        took.terminate.push(await tab.call("terminate"));
      }
    }
    const row = (name: string, values: number[], target: string) => [
      name,
      ...[0.5, 0.99, 1].map((q) => figure(quantile(values, q), "ms")),
      `${values.length}`,
      target,
    ];
    const rows = [
      row("vak, main thread idle: to the settled result", took.idle, "≤ 15, ≤ 50"),
      row("vak, main thread busy: to the settled result", took.busy, "≤ 15, ≤ 50"),
      row("bare worker, `terminate()`: to its last effect", took.terminate, ""),
    ];
    return [{ title: `stop, ${browser}`, head: ["stopping", "p50", "p99", "max", "stops", "target"], rows }];
  },
};
