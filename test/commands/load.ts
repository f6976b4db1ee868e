/**
 * `npm run load`: runs many agents in one page, at once and one after the other, some killed at random; and more than
 * a browser has capacity for. Prints how long it took, and checks that no worker, frame or memory is leaked.
 * `--quick` runs fewer agents; `--only=at-once`, `sequence` or `beyond` runs one part.
 */
import type { Page } from "playwright";
import { buildGuests } from "../../scripts/guests.mjs";
import type { Isolation, OnFull } from "../../src/index.ts";
import { type BrowserName, chosenBrowsers, objects, root, withPage } from "./page.ts";

interface Scope {
  kernel?: Awaited<ReturnType<typeof library.createKernel>>;
}

/** @returns the exit code: 0 if every agent ended as expected and left nothing behind */
export async function run(argv: string[]): Promise<number> {
  await buildGuests();
  const quick = argv.includes("--quick");
  const only = argv.find((arg) => arg.startsWith("--only="))?.slice("--only=".length) ?? "";
  const chosen = (part: string) => part.includes(only);
  const faults: string[] = [];
  for (const browser of chosenBrowsers(argv)) {
    await withPage(browser, { "/guests/": `${root}test/guests/out` }, async (page, version) => {
      console.log(`\n${browser} ${version}`);
      const fault = (what: string) => {
        faults.push(what);
        console.log(`  FAULT: ${what}`);
      };
      await page.evaluate(start);
      if (chosen("at-once")) {
        await atOnce(page, "opaque", quick ? 20 : 100, fault);
        await atOnce(page, "frame", quick ? 20 : 100, fault);
        await atOnce(page, "frame", quick ? 30 : 300, fault);
      }
      if (chosen("sequence")) await inSequence(page, browser, quick ? 100 : 1000, fault);
      if (!chosen("beyond")) return;
      for (const isolation of ["opaque", "frame"] as const) {
        for (const onFull of ["wait", "fail"] as const)
          await beyondCapacity(page, { isolation, onFull }, quick ? 140 : 300, fault);
      }
    });
  }
  return faults.length ? 1 : 0;
}

async function start(): Promise<void> {
  const add = library.defineTool({
    name: "add",
    description: "Adds two integers.",
    inputSchema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } },
    execute: ({ a, b }: { a?: number; b?: number }) => a! + b!,
  });
  (globalThis as unknown as Scope).kernel = await library.createKernel({
    policy: "permit (principal, action, resource);",
    tools: [add],
    log: { name: "load" },
  });
}

/** Agents that run at once: four of five call a tool and write a file; the others spin, and are killed at random. */
async function atOnce(page: Page, isolation: Isolation, count: number, fault: (what: string) => void): Promise<void> {
  const workers = page.workers().length;
  const seen = await page.evaluate(
    async ({ isolation, count }) => {
      const { kernel } = globalThis as unknown as Scope;
      const bytes = async (name: string) => new Uint8Array(await (await fetch(`/guests/${name}.wasm`)).arrayBuffer());
      const [worker, endless] = [await bytes("agent"), await bytes("spin")];
      const frames = document.querySelectorAll("iframe").length;
      let longest = 0;
      let last = performance.now();
      const ticking = setInterval(() => {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }, 10);
      const began = performance.now();
      const files = { "in.txt": "some input" };
      const limits = { deadlineMs: 600_000 };
      const agents = await Promise.all(
        Array.from({ length: count }, async (_, i) => {
          const program = i % 5 === 4 ? endless : worker;
          return kernel!.spawn({ name: `agent ${i}`, program: program.slice(), files, isolation, limits });
        }),
      );
      const spawned = performance.now() - began;
      const runs = agents.map((agent) => agent.run());
      const victims = agents.filter((_, i) => i % 5 === 4);
      const killing = Promise.all(
        victims.map(async (victim) => {
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 1000));
          await victim.close();
        }),
      );
      const results = await Promise.all(runs.map((run) => run.result));
      const ran = performance.now() - began - spawned;
      await killing;
      await Promise.all(agents.map((agent) => agent.close()));
      clearInterval(ticking);
      const ends = results.map((result) => (result.status === "stopped" ? result.limit : result.status));
      const left = document.querySelectorAll("iframe").length - frames;
      return { spawned, ran, closed: performance.now() - began, longest, ends, left };
    },
    { isolation, count },
  );
  const killed = seen.ends.filter((end) => end === "aborted").length;
  const exited = seen.ends.filter((end) => end === "exited").length;
  const ms = (value: number) => `${Math.round(value)} ms`;
  console.log(
    `  ${count} at once, ${isolation}: spawned in ${ms(seen.spawned)}, run in ${ms(seen.ran)}, all closed after ` +
      `${ms(seen.closed)}; ${exited} exited, ${killed} killed at random; the page was busy for at most ${ms(seen.longest)}`,
  );
  if (exited !== count - Math.floor(count / 5) || killed !== Math.floor(count / 5))
    fault(`ends: ${seen.ends.join(" ")}`);
  if (seen.left) fault(`${seen.left} frames were left behind`);
  // One worker, the spare, is started ahead for the next agent.
  const left = await settled(() => page.workers().length - workers);
  if (left > 1) fault(`${left} workers were left behind`);
}

/** Agents that are spawned, run and closed one after the other. */
async function inSequence(
  page: Page,
  browser: BrowserName,
  count: number,
  fault: (what: string) => void,
): Promise<void> {
  const step = (count: number) =>
    page.evaluate(async (count) => {
      const { kernel } = globalThis as unknown as Scope;
      const program = new Uint8Array(await (await fetch("/guests/hello.wasm")).arrayBuffer());
      const began = performance.now();
      let exited = 0;
      for (let i = 0; i < count; i++) {
        const agent = await kernel!.spawn({ name: "one of many", program: program.slice() });
        const { status } = await agent.run().result;
        if (status === "exited") exited++;
        await agent.close();
      }
      return { ms: performance.now() - began, exited };
    }, count);
  await step(20);
  const before = await heap(page, browser);
  const { ms, exited } = await step(count);
  const after = await heap(page, browser);
  const memory = before === undefined ? "" : `; heap ${mib(before)} before, ${mib(after!)} after`;
  console.log(`  ${count} one after the other: ${(ms / count).toFixed(1)} ms each${memory}`);
  if (exited !== count) fault(`${count - exited} of ${count} did not exit`);
  const left = await settled(() => page.workers().length);
  if (left > 1) fault(`${left} workers were left behind`);
  if (browser === "chromium") {
    const kept = await objects(page, "Worker");
    if (kept > 2) fault(`${kept} Worker objects were left in the page's heap`);
  }
}

/**
 * More runs at once than the browser has capacity for. Each waits for a tool that answers only when no more calls
 * arrive, so that the memories of all runs that fit are alive at the same time.
 */
async function beyondCapacity(
  page: Page,
  { isolation, onFull }: { isolation: Isolation; onFull: OnFull },
  count: number,
  fault: (what: string) => void,
): Promise<void> {
  const seen = await page.evaluate(
    async ({ isolation, onFull, count }) => {
      let atOnce = 0;
      const open = Promise.withResolvers<void>();
      const add = library.defineTool({
        name: "add",
        description: "Adds two integers, once all runs that fit have called it.",
        inputSchema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } },
        execute: async ({ a, b }: { a?: number; b?: number }) => {
          atOnce++;
          await open.promise;
          return a! + b!;
        },
      });
      const kernel = await library.createKernel({
        policy: "permit (principal, action, resource);",
        tools: [add],
        log: { name: `beyond-${isolation}-${onFull}` },
        isolation,
        onFull,
      });
      const program = new Uint8Array(await (await fetch("/guests/agent.wasm")).arrayBuffer());
      const limits = { deadlineMs: 600_000 };
      const agents = await Promise.all(
        Array.from({ length: count }, (_, i) =>
          kernel.spawn({ name: `agent ${i}`, program: program.slice(), files: { "in.txt": "input" }, limits }),
        ),
      );
      let failed = 0;
      const runs = agents.map((agent) => agent.run());
      for (const run of runs) run.result.then(({ status }) => (failed += Number(status === "failed")));
      // Each run calls the tool or fails, except those that wait for capacity: stop after 5
      // seconds without news.
      for (let last = 0, quiet = 0; atOnce + failed < count && quiet < 5; ) {
        await new Promise((resolve) => setTimeout(resolve, 1000));
        quiet = last > 0 && last === atOnce + failed ? quiet + 1 : 0;
        last = atOnce + failed;
      }
      const fitted = atOnce;
      open.resolve();
      const ends = new Map<string, number>();
      for (const result of await Promise.all(runs.map((run) => run.result))) {
        const end = "message" in result ? `${result.status} (${result.message})` : result.status;
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }
      const again = await agents.at(-1)!.run().result;
      await kernel.close();
      return { fitted, ends: [...ends], again: again.status };
    },
    { isolation, onFull, count },
  );
  const said = seen.ends.map(([end, n]) => `${n} ${end}`).join("; ");
  console.log(`  ${count} waiting for a tool at once, ${isolation}, onFull ${onFull}: ${seen.fitted} fitted; ${said}`);
  const exited = new Map(seen.ends).get("exited") ?? 0;
  if (exited !== (onFull === "wait" ? count : seen.fitted)) fault(`${exited} of ${count} exited`);
  if (seen.again !== "exited") fault(`the last agent's second run: ${seen.again}`);
}

/** Reads a number until it is at most 1, for at most 10 seconds, because workers take time to end. */
async function settled(read: () => number): Promise<number> {
  let last = read();
  for (let i = 0; i < 40 && last > 1; i++) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    last = read();
  }
  return last;
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Bytes of JavaScript heap after a garbage collection; only in Chromium. */
async function heap(page: Page, browser: BrowserName): Promise<number | undefined> {
  if (browser !== "chromium") return undefined;
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  await session.detach();
  return usedSize;
}
