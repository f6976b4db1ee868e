/** What one browser recorded is executed again in another, and in Node: every run is the same. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page as Tab } from "playwright";
import { createServer, type ViteDevServer } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cedarGlue, workerSource } from "../../../build/plugins.ts";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { type Replay, replayAll } from "../../../src/replay/index.ts";
import { cases, loadProgram } from "../../guests/cases.ts";
import { browsers } from "../../setup/launch.ts";
import type { Page } from "./page.ts";

declare const page: Page;

const root = fileURLToPath(new URL("../../..", import.meta.url));
const guests = [...new Set(cases.map(({ guest }) => guest))];
const tabs: Record<string, Tab> = {};
const open: Browser[] = [];
let server: ViteDevServer;
let scratch: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "vak-replay-"));
  server = await createServer({
    configFile: false,
    root,
    cacheDir: scratch,
    logLevel: "error",
    plugins: [workerSource(), cedarGlue()],
    optimizeDeps: { noDiscovery: true },
    server: { port: 0, hmr: false, watch: null },
  });
  await server.listen();
  for (const { name, launch } of browsers) {
    const browser = await launch();
    open.push(browser);
    const tab = await browser.newPage();
    await tab.goto(`${server.resolvedUrls!.local[0]}test/e2e/replay/page.html`);
    await tab.waitForFunction(() => "page" in globalThis);
    tabs[name] = tab;
  }
});
afterAll(async () => {
  await Promise.all(open.map((browser) => browser.close()));
  await server?.close();
  await rm(scratch, { recursive: true, force: true });
});

/** Node 20 does not know the newer exception handling; it says so, and whether a guest needs it. */
const beyondNode = ({ missing }: Replay) => /^The program cannot be executed here: .*opcode 0x1f/.test(missing ?? "");

test.each([
  ["chromium", "firefox"],
  ["firefox", "chromium"],
])("what %s recorded is the same in %s and in Node", async (from, to) => {
  const zip = await tabs[from]!.evaluate(() => page.record(page.names, 20));
  const bundle = await openBundle(new Uint8Array(Buffer.from(zip, "base64")));
  const report = await verify(bundle);
  expect(report).toMatchObject({ ok: true, problems: [] });
  const runs = report.runs.length;
  expect(runs).toBeGreaterThan(cases.length + 25);

  const programs = await Promise.all(guests.map(loadProgram));
  const inNode: Replay[] = [];
  for await (const one of replayAll(bundle, { program: programs })) inNode.push(one);
  expect(inNode.filter((one) => one.verdict !== "same" && !beyondNode(one))).toEqual([]);
  expect(inNode.filter(beyondNode).length).toBeLessThanOrEqual(1);
  expect(inNode).toHaveLength(runs);

  const there = await tabs[to]!.evaluate(([zip, guests]) => page.again(zip, guests), [zip, guests] as const);
  expect(there.filter(({ verdict }) => verdict !== "same")).toEqual([]);
  expect(there.filter((_, i) => !beyondNode(inNode[i]!))).toEqual(inNode.filter((one) => !beyondNode(one)));
});
