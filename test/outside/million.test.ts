/** A very large log: opened, exported and verified in little memory (npm run test:million). */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchOptions } from "../setup/launch.ts";
import { type PageServer, servePage } from "../setup/page-server.ts";
import { LOG_PAGE } from "./harness.ts";

/** The number that `npm run test:million -- 1000000` passes. */
const ENTRIES = Number(process.env.VAK_MILLION);
const CLI = join(import.meta.dirname, "../../dist/cli.js");
const MB = 1e6;

let page: PageServer;
const folder = mkdtempSync(join(tmpdir(), "vak-million-"));

beforeAll(async () => {
  page = await servePage(LOG_PAGE);
});
afterAll(async () => {
  await page.close();
  rmSync(folder, { recursive: true, force: true });
});

test(`a log of ${ENTRIES} entries is opened, exported and verified, with little memory`, async () => {
  expect(existsSync(CLI), "npm run build makes dist/cli.js").toBe(true);
  const context = await chromium.launchPersistentContext(join(folder, "profile"), launchOptions("chromium"));
  const tab = await context.newPage();
  await tab.goto(page.url);
  await tab.waitForFunction(() => globalThis.vak !== undefined);

  const appending = await tab.evaluate(async (entries) => {
    const log = await vak.openLog({ name: "million" });
    const began = performance.now();
    const note = { type: "policy-refused", textDigest: "00".repeat(32), message: "as long as many are" } as const;
    while (log.size < entries) {
      const count = Math.min(2000, entries - log.size);
      await Promise.all(Array.from({ length: count }, () => log.append(note)));
    }
    const ms = performance.now() - began;
    await log.checkpoint();
    await log.close();
    return ms;
  }, ENTRIES);

  // Alternately, so that both share whatever else the machine does.
  const [million, empty] = await tab.evaluate(async () => {
    const times: [number[], number[]] = [[], []];
    for (const name of ["million", "empty"]) await (await vak.openLog({ name })).close();
    for (let round = 0; round < 15; round++) {
      for (const [i, name] of ["million", "empty"].entries()) {
        const began = performance.now();
        const log = await vak.openLog({ name });
        times[i]!.push(performance.now() - began);
        await log.close();
      }
    }
    return times.map((list) => list.sort((a, b) => a - b)[7]!);
  });

  const downloading = tab.waitForEvent("download", { timeout: 0 });
  const inPage = await tab.evaluate(async () => {
    const log = await vak.openLog({ name: "million" });
    const zip = await log.export();
    const began = performance.now();
    const report = await vak.verify(await vak.openBundle(zip), { keys: [log.vkey] });
    const ms = performance.now() - began;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(zip);
    link.download = "log.zip";
    link.click();
    const { ok, size, problems } = report;
    return { ok, size, problems, ms, vkey: log.vkey };
  });
  expect(inPage).toMatchObject({ ok: true, size: ENTRIES, problems: [] });
  const file = join(folder, "log.zip");
  await (await downloading).saveAs(file);
  await context.close();

  const began = performance.now();
  const printed = execFileSync(
    process.execPath,
    ["--max-old-space-size=256", CLI, "verify", file, "--key", inPage.vkey, "--json"],
    { encoding: "utf8" },
  );
  const inNode = performance.now() - began;
  expect(JSON.parse(printed)).toMatchObject({ ok: true, size: ENTRIES, problems: [] });
  console.log(
    `${ENTRIES} entries: appended in ${seconds(appending)}, ${Math.round(ENTRIES / (appending / 1000))} a second`,
  );
  console.log(
    `opened in ${million!.toFixed(1)} ms, an empty one in ${empty!.toFixed(1)} ms: ${(million! / empty!).toFixed(2)} times`,
  );
  console.log(`a zip of ${(statSync(file).size / MB).toFixed(0)} MB, verified in the page in ${seconds(inPage.ms)},`);
  console.log(`by npx vak verify with 256 MB of heap in ${seconds(inNode)}`);
}, 3_600_000);

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
