/** A run whose browser was killed midway: everything that was stored is there, and replays. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Browser, Page as Tab } from "playwright";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { replay, replayAll } from "../../../src/replay/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { startChromium } from "../../outside/harness.ts";
import { buildCli } from "../../setup/cli.ts";
import { type PageServer, servePage } from "../../setup/page-server.ts";

/** In the tabs. */
declare const page: typeof import("./killed.ts").page;

const folder = mkdtempSync(join(tmpdir(), "vak-killed-"));
let server: PageServer;
let vak: Awaited<ReturnType<typeof buildCli>>;

beforeAll(async () => {
  server = await servePage("test/e2e/replay/killed.ts");
  vak = await buildCli(folder);
});
afterAll(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function openTab(browser: Browser): Promise<Tab> {
  const context = browser.contexts()[0] ?? (await browser.newContext());
  const tab = await context.newPage();
  await tab.goto(server.url);
  await tab.waitForFunction(() => "page" in globalThis);
  return tab;
}

test("Chromium is killed with kill -9 in the middle of runs: each replays identically up to the last stored call", async () => {
  const profile = join(folder, "profile");
  const clocks = ["virtual", "real", "virtual"] as const;
  /** The last part of each that the page knew to be on disk. */
  const told: number[] = [];
  for (const [i, clock] of clocks.entries()) {
    const chromium = await startChromium(profile);
    const tab = await openTab(chromium.browser);
    const round = told.push(0) - 1;
    let later = 0;
    const enough = new Promise<void>((resolve) => {
      tab.on("console", (message) => {
        const [, part, answered] = /^stored (\d+) after (\d+)$/.exec(message.text()) ?? [];
        if (!part) return;
        told[round] = Number(part);
        // A part holds what came before it was made: the second one after four answers holds these.
        if (Number(answered) >= 4 && ++later >= 2 && told[round] >= 3) resolve();
      });
    });
    // Not in the first, which is forked below: a fork cannot repeat what the page did to the files.
    const changesFiles = i > 0;
    const working = tab
      .evaluate(([clock, changesFiles]) => page.work(clock, changesFiles), [clock, changesFiles] as const)
      .catch((error) => error);
    await Promise.race([enough, working]);
    await sleep(Math.random() * 1000);
    await chromium.kill();
    await working;
  }

  const program = await loadGuest("busy");
  const chromium = await startChromium(profile);
  const tab = await openTab(chromium.browser);
  const zip = Buffer.from(await tab.evaluate(() => page.recovered()), "base64");
  const bundle = await openBundle(new Uint8Array(zip));
  const report = await verify(bundle);
  expect(report).toMatchObject({ ok: true, problems: [], missing: [] });
  expect(report.runs.map(({ end }) => end)).toEqual(clocks.map(() => "interrupted"));

  for (let run = 1; run <= clocks.length; run++) {
    const found = await replay(bundle, run, { program });
    expect(found).toMatchObject({ verdict: "interrupted", divergence: null, notCompared: [] });
    expect(found.missing).toMatch(
      new RegExp(
        `^the page was closed or lost before it ended: .* goes to call ${found.calls} and ${found.fuel} units of fuel`,
      ),
    );
    expect(found.calls).toBeGreaterThan(3);
    expect(told[run - 1]).toBeGreaterThanOrEqual(3);
    const { calls } = report.runs[run - 1]!;
    expect(found.calls).toBeLessThanOrEqual(calls.reduce((sum, { count }) => sum + count, 0) + 1);
  }
  const all = [];
  for await (const { verdict } of replayAll(bundle, { program })) all.push(verdict);
  expect(all).toEqual(clocks.map(() => "interrupted"));

  writeFileSync(join(folder, "log.zip"), zip);
  writeFileSync(join(folder, "busy.wasm"), program);
  const { out, code } = await vak("replay", join(folder, "log.zip"), "--program", join(folder, "busy.wasm"));
  expect(out).toMatch(
    /: the same as far as its trace was stored\n {2}\d+ calls, \d+ units of fuel\n {2}the page was closed or lost/,
  );
  expect(code).toBe(1);

  // Another tab continues the run during which this one was killed.
  const forked = await tab.evaluate(() => page.fork(1, 4));
  const after = await openBundle(new Uint8Array(Buffer.from(forked, "base64")));
  expect(await verify(after)).toMatchObject({ ok: true, problems: [] });
  expect(await replay(after, clocks.length + 1, { program })).toMatchObject({ verdict: "same", missing: null });
  await chromium.close();
});
