/** Runs that one browser recorded are executed again in another and in Node: every run is the same. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { type Replay, replay, replayAll } from "../../../src/replay/index.ts";
import { cases, loadProgram } from "../../guests/cases.ts";
import type { Page } from "./page.ts";
import { digestState } from "./state.ts";
import { openTabs, type Tabs } from "./tabs.ts";

declare const page: Page;

const guests = [...new Set(cases.map(({ guest }) => guest))];
let tabs: Tabs;
beforeAll(async () => {
  tabs = await openTabs();
});
afterAll(() => tabs?.close());

/** Node 20 does not support the newer exception handling, which some guests need. */
const beyondNode = ({ missing }: Replay) => /^The program cannot be executed here: .*opcode 0x1f/.test(missing ?? "");

test.each([
  ["chromium", "firefox"],
  ["firefox", "chromium"],
] as const)(
  "what %s recorded is the same in %s and in Node",
  async (from, to) => {
    const zip = await tabs[from].evaluate(() => page.record(page.names, 20));
    const bundle = await openBundle(new Uint8Array(Buffer.from(zip, "base64")));
    const report = await verify(bundle);
    expect(report).toMatchObject({ ok: true, problems: [] });
    const runs = report.runs.length;
    expect(runs).toBeGreaterThan(cases.length + 25);

    // In the middle of a run, memory and globals are the same too: there from a checkpoint, here from the beginning.
    for (const [guest, call] of [["busy", 5] as const, ["python", 2] as const]) {
      const run = cases.findIndex((one) => one.guest === guest) + 1;
      const asked = [zip, guest, run, call] as const;
      const { seen, checkpoints } = await tabs[to].evaluate(
        ([zip, guest, run, call]) => page.look(zip, guest, run, call),
        asked,
      );
      const { verdict, state } = await replay(bundle, run, { program: await loadProgram(guest), until: { call } });
      expect(state).toMatchObject({ reached: true, calls: call });
      expect(checkpoints).toBeGreaterThan(1);
      expect(seen).toEqual({ verdict, state: await digestState(state!) });
    }

    const programs = await Promise.all(guests.map(loadProgram));
    const inNode: Replay[] = [];
    for await (const one of replayAll(bundle, { program: programs })) inNode.push(one);
    expect(inNode.filter((one) => one.verdict !== "same" && !beyondNode(one))).toEqual([]);
    expect(inNode.filter(beyondNode).length).toBeLessThanOrEqual(1);
    expect(inNode).toHaveLength(runs);

    const there = await tabs[to].evaluate(([zip, guests]) => page.again(zip, guests), [zip, guests] as const);
    expect(there.filter(({ verdict }) => verdict !== "same")).toEqual([]);
    expect(there.filter((_, i) => !beyondNode(inNode[i]!))).toEqual(inNode.filter((one) => !beyondNode(one)));
  },
  300_000,
);
