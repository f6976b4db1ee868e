/**
 * A page that is hidden, busy, frozen or slow does not change what its agents print, call and write. These tests need
 * the built library (`npm run build`).
 */
import type { CDPSession, Page } from "playwright";
import { expect, test } from "vitest";
import { type BrowserName, objects, root, serveLibrary, withPage } from "../commands/page.ts";
import { type Tab, withTabs } from "../setup/devtools.ts";

type Kernel = Awaited<ReturnType<typeof library.createKernel>>;
interface Scope {
  kernel: Kernel;
  run: ReturnType<Awaited<ReturnType<Kernel["spawn"]>>["run"]>;
  stdout: Promise<string>;
  calls: number;
}

const ROUNDS = 120;

/** Starts an agent that works, calls, writes, sleeps and prints, {@link ROUNDS} times over. */
async function start(page: Pick<Tab, "evaluate">): Promise<void> {
  await page.evaluate(async (rounds) => {
    const scope = globalThis as unknown as Scope;
    scope.calls = 0;
    const add = library.defineTool({
      name: "add",
      description: "Adds two integers.",
      inputSchema: {
        type: "object",
        properties: { a: { type: "integer" }, b: { type: "integer" } },
        required: ["a", "b"],
      },
      execute: ({ a, b }) => {
        scope.calls++;
        return a + b;
      },
    });
    await scope.kernel?.close();
    scope.kernel = await library.createKernel({
      policy: `permit (principal, action == Action::"call:add", resource) when { context.input.a < 100 };`,
      tools: [add],
      log: { name: "away" },
    });
    const agent = await scope.kernel.spawn({
      name: "busy",
      program: fetch("/guests/busy.wasm"),
      files: { "inbox.txt": "some\nlines\n" },
      seed: 1,
      limits: { deadlineMs: 100_000 },
    });
    scope.run = agent.run({ args: [String(rounds)] });
    scope.stdout = new Response(scope.run.stdout).text();
  }, ROUNDS);
}

/** Waits until the run ends. Resolves with everything it did, as digests and counts. */
function finish(page: Pick<Tab, "evaluate">) {
  return page.evaluate(async () => {
    const scope = globalThis as unknown as Scope;
    const { kernel, run, stdout } = scope;
    const { status, digest, usage } = await run.result;
    const lines = (await stdout).split("\n").length - 1;
    const types: Record<string, number> = {};
    for await (const { entry } of kernel.log.entries()) {
      // The number of parts of its trace depends on how long it takes.
      if (entry.type === "trace") continue;
      if ("run" in entry && entry.run === run.id) types[entry.type] = (types[entry.type] ?? 0) + 1;
    }
    return { status, digest, fuel: usage.fuel, lines, calls: usage.calls, effects: scope.calls, types };
  });
}

/** Blocks the page's main thread. */
const block = (page: Page, ms: number) =>
  page.evaluate((ms) => {
    for (const until = performance.now() + ms; performance.now() < until; );
  }, ms);

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Something that happens to a page while its agent runs. */
type Disturbance = [name: string, disturb: (page: Page) => Promise<void>];

const busy: Disturbance = [
  "its main thread is blocked for 1.5 s, twice",
  async (page) => {
    for (const ms of [1500, 1500]) {
      await block(page, ms);
      await pause(50);
    }
  },
];

/** Uses Chromium's DevTools protocol, which can do to a page what the browser and the system do to tabs. */
const throughDevtools =
  (work: (session: CDPSession) => Promise<void>) =>
  async (page: Page): Promise<void> => {
    const session = await page.context().newCDPSession(page);
    await work(session);
    await session.detach();
  };

const disturbances: Record<BrowserName, Disturbance[]> = {
  chromium: [
    busy,
    [
      "frozen, as a tab that was in the background for long",
      throughDevtools(async (session) => {
        await session.send("Page.setWebLifecycleState", { state: "frozen" });
        await pause(3000);
        await session.send("Page.setWebLifecycleState", { state: "active" });
      }),
    ],
    [
      "throttled to a tenth of the CPU",
      throughDevtools(async (session) => {
        await session.send("Emulation.setCPUThrottlingRate", { rate: 10 });
        await pause(2000);
        await session.send("Emulation.setCPUThrottlingRate", { rate: 1 });
      }),
    ],
  ],
  // Firefox has no such commands for stock builds, and hides no tab when headless.
  firefox: [busy],
};

test.each(["chromium", "firefox"] as const)(
  "%s: a run is the same if its page is blocked, frozen or throttled",
  (browser) =>
    withPage(browser, { "/guests/": `${root}test/guests/out` }, async (page) => {
      await start(page);
      const undisturbed = await finish(page);
      expect(undisturbed).toMatchObject({ status: "exited", lines: ROUNDS, calls: ROUNDS / 2 });
      expect(undisturbed.types).toMatchObject({ "run-start": 1, "run-end": 1, intent: undisturbed.effects });
      for (const [name, disturb] of disturbances[browser]) {
        await start(page);
        await disturb(page);
        expect(await finish(page), name).toEqual(undisturbed);
      }
    }),
  300_000,
);

test("chromium: closed agents leave no worker in the page", () =>
  withPage("chromium", { "/guests/": `${root}test/guests/out` }, async (page) => {
    await page.evaluate(async () => {
      const kernel = await library.createKernel({ log: { name: "away" } });
      const program = await (await fetch("/guests/hello.wasm")).arrayBuffer();
      for (let i = 0; i < 10; i++) {
        const agent = await kernel.spawn({ name: `agent ${i}`, program: program.slice(0) });
        await agent.run().result;
        await agent.close();
      }
      await kernel.close();
    });
    await expect.poll(() => objects(page, "Worker")).toBeLessThanOrEqual(1);
  }));

test("chromium: a run is the same in a hidden tab, whose timers fire once a second", async () => {
  const server = await serveLibrary({ "/guests/": `${root}test/guests/out` });
  try {
    await withTabs(async (open) => {
      const tab = await open(`${server.url}/`);
      await expect.poll(() => tab.evaluate(() => "library" in globalThis)).toBe(true);
      await start(tab);
      const seen = await finish(tab);
      expect(seen).toMatchObject({ status: "exited", lines: ROUNDS, calls: ROUNDS / 2 });

      await start(tab);
      await open("about:blank");
      await expect.poll(() => tab.evaluate(() => document.hidden)).toBe(true);
      expect(await finish(tab)).toEqual(seen);
      // Spawned while the tab is hidden, and shown again before the run ends.
      await start(tab);
      expect(await tab.evaluate(() => document.hidden)).toBe(true);
      await tab.show();
      expect(await finish(tab)).toEqual(seen);
    });
  } finally {
    await server.close();
  }
});
