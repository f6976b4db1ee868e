/** Random programs, recorded in one browser and replayed in the other and in Node: `npm run test:random`. */
import { openBundle, verify } from "../../../src/audit/index.ts";
import { type Replay, replayAll } from "../../../src/replay/index.ts";
import { wat } from "../../unit/meter/assemble.ts";
import { generate } from "./generate.ts";
import type { Page } from "./page.ts";
import { openTabs } from "./tabs.ts";

declare const page: Page;

/** Programs in one log. */
const BATCH = 50;

/**
 * Records random programs in one browser, and replays them in the other and in Node.
 *
 * @returns the exit code
 */
export async function run(count: number, from: number): Promise<number> {
  const tabs = await openTabs();
  const ends = new Map<string, number>();
  let failures = 0;
  let runs = 0;
  let calls = 0;
  let fuel = 0;
  try {
    for (let first = from; first < from + count; first += BATCH) {
      const seeds = Array.from({ length: Math.min(BATCH, from + count - first) }, (_, i) => first + i);
      const programs = seeds.map((seed) => Buffer.from(wat(generate(seed))).toString("base64"));
      // The browsers take turns.
      const [recorder, replayer] =
        (first / BATCH) % 2 ? (["firefox", "chromium"] as const) : (["chromium", "firefox"] as const);
      const zip = await tabs[recorder].evaluate((programs) => page.recordPrograms(programs), programs);
      const bundle = await openBundle(new Uint8Array(Buffer.from(zip, "base64")));
      const report = await verify(bundle);
      for (const { end } of report.runs) {
        const how =
          typeof end === "string"
            ? end
            : `${end.status} ${end.trap ?? end.limit ?? (end.exitCode ? "with a code" : "well")}`;
        ends.set(how, (ends.get(how) ?? 0) + 1);
      }
      const inNode: Replay[] = [];
      for await (const one of replayAll(bundle)) inNode.push(one);
      const there = await tabs[replayer].evaluate((zip) => page.again(zip, []), zip);
      for (const [i, seed] of seeds.entries()) {
        const both = [inNode[i], there[i]];
        runs++;
        calls += inNode[i]?.calls ?? 0;
        fuel += inNode[i]?.fuel ?? 0;
        if (report.ok && both.every((one) => one?.verdict === "same")) continue;
        failures++;
        console.log(
          `program ${seed}, recorded in ${recorder}: in Node and in ${replayer}`,
          JSON.stringify(both, null, 1),
        );
      }
      console.log(`${first + seeds.length - from} of ${count}`);
    }
  } finally {
    await tabs.close();
  }
  console.log(`${runs} programs, ${calls} calls, ${fuel} units of fuel; ${failures} differ`);
  for (const [how, times] of [...ends].sort((a, b) => b[1] - a[1])) console.log(`  ${how}: ${times}`);
  return failures === 0 && runs === count ? 0 : 1;
}
