/**
 * `npm run load`: many agents in one page, at once and one after the other, some of them killed at random; and more than a
 * browser holds. Says what it took, and whether workers, frames and memory are back to what they were.
 */
import type { Page } from "playwright";
import { buildGuests } from "../../scripts/guests.mjs";
import type { Isolation } from "../../src/index.ts";
import { type BrowserName, chosenBrowsers, root, withPage } from "./page.ts";

interface Scope {
  kernel?: Awaited<ReturnType<typeof library.createKernel>>;
}

/** @returns the exit code: 0 when every agent ended as it should, and nothing is left of them */
export async function run(argv: string[]): Promise<number> {
  await buildGuests();
  const quick = argv.includes("--quick");
  const faults: string[] = [];
  for (const browser of chosenBrowsers(argv)) {
    await withPage(browser, { "/guests/": `${root}test/guests/out` }, async (page, version) => {
      console.log(`\n${browser} ${version}`);
      const fault = (what: string) => {
        faults.push(what);
        console.log(`  FAULT: ${what}`);
      };
      await page.evaluate(start);
      await atOnce(page, "opaque", quick ? 20 : 100, fault);
      await atOnce(page, "frame", quick ? 20 : 100, fault);
      await inSequence(page, browser, quick ? 100 : 1000, fault);
      await past(page, browser, quick ? 40 : 200, fault);
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

/** Agents that live together: each calls a tool and writes a file, but for a fifth that spin, and are killed at random. */
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
  if (seen.left) fault(`${seen.left} frames are left`);
  // One worker is started ahead for the next agent.
  const left = await settled(() => page.workers().length - workers);
  if (left > 1) fault(`${left} workers are left`);
}

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
  if (left > 1) fault(`${left} workers are left`);
}

/** More guests with a memory alive at once than a browser holds: what fits runs, the rest says why it does not. */
async function past(page: Page, browser: BrowserName, count: number, fault: (what: string) => void): Promise<void> {
  const ends = await page.evaluate(async (count) => {
    const { kernel } = globalThis as unknown as Scope;
    const program = new Uint8Array(await (await fetch("/guests/sleep.wasm")).arrayBuffer());
    const agents = [];
    const ends: string[] = [];
    for (let i = 0; i < count; i++) {
      const agent = await kernel!
        .spawn({ name: `agent ${i}`, program: program.slice() })
        .catch((error: Error) => void ends.push(`spawn: ${error.message}`));
      if (agent) agents.push(agent);
    }
    const runs = agents.map((agent) => agent.run());
    const results = await Promise.all(runs.map((run) => run.result));
    await Promise.all(agents.map((agent) => agent.close()));
    for (const result of results) {
      ends.push("message" in result ? `${result.status}: ${result.message}` : result.status);
    }
    return ends;
  }, count);
  const counts = new Map<string, number>();
  for (const end of ends) counts.set(end, (counts.get(end) ?? 0) + 1);
  const said = [...counts].map(([end, n]) => `${n} ${end}`).join("; ");
  console.log(`  ${count} with a memory alive at once, ${browser}: ${said}`);
  if (ends.length !== count) fault(`${count - ends.length} of ${count} never ended`);
  const hello = await page.evaluate(async () => {
    const { kernel } = globalThis as unknown as Scope;
    const agent = await kernel!.spawn({ name: "after", program: fetch("/guests/hello.wasm") });
    return (await agent.run().result).status;
  });
  if (hello !== "exited") fault(`an agent after them: ${hello}`);
}

/** A number once it no longer falls: what ends does so in its own time. */
async function settled(read: () => number): Promise<number> {
  let last = read();
  for (let i = 0; i < 40 && last > 1; i++) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    last = read();
  }
  return last;
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Bytes of JavaScript heap after a collection; only Chromium tells. */
async function heap(page: Page, browser: BrowserName): Promise<number | undefined> {
  if (browser !== "chromium") return undefined;
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  await session.detach();
  return usedSize;
}
