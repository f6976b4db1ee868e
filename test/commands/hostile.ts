/**
 * `npm run hostile`: runs every hostile program of test/browser/sandbox/hostile.cases.ts through a kernel in real
 * browsers, at every isolation level, and once more with guests waiting on shared memory. `npm test` runs all of them
 * at the default level, and some at the others.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright";
import { buildGuests } from "../../scripts/guests.mjs";
import type { Isolation, RunResult } from "../../src/index.ts";
import { type Attack, attacks } from "../browser/sandbox/hostile.cases.ts";
import { type BrowserName, chosenBrowsers, root, withPage } from "./page.ts";

interface Level {
  isolation: Isolation;
  /** Whether guests wait on shared memory instead of by JSPI. */
  shared: boolean;
}

const levels: Level[] = [
  { isolation: "opaque", shared: false },
  { isolation: "frame", shared: false },
  { isolation: "page", shared: false },
  { isolation: "opaque", shared: true },
];
const nameOf = ({ isolation, shared }: Level) => (shared ? `${isolation}, shared memory` : isolation);

/** The outcome of an attack: a refused spawn, or a run. */
interface Seen {
  refused?: { code: string; message: string };
  result?: RunResult;
  stdout?: string;
  stderr?: string;
}

interface Scope {
  kernel: Awaited<ReturnType<typeof library.createKernel>>;
  /** An agent whose files no attacker may see or change. */
  bystander: Awaited<ReturnType<Scope["kernel"]["spawn"]>>;
  before: string;
  effects: number;
}

/** @returns the exit code: 0 if every attack failed, in every browser and at every level */
export async function run(argv: string[]): Promise<number> {
  await buildGuests();
  const only = argv.find((arg) => arg.startsWith("--level="))?.slice("--level=".length);
  const folder = await mkdtemp(join(tmpdir(), "vak-hostile-"));
  const groups = Object.entries(attacks);
  const total = groups.reduce((sum, [, list]) => sum + list.length, 0);
  const failed: string[] = [];
  /** By group: how many of its programs were safe, in each column. */
  const safe = new Map(groups.map(([group]) => [group, [] as number[]]));
  const columns: string[] = [];
  try {
    for (const [group, list] of groups) {
      for (const [i, { program }] of list.entries()) await writeFile(join(folder, fileOf(group, i)), program());
    }
    for (const browser of chosenBrowsers(argv)) {
      for (const level of levels) {
        if (only && nameOf(level) !== only) continue;
        const column = `${browser}, ${nameOf(level)}`;
        columns.push(column);
        const began = performance.now();
        const faults = await attackAll(browser, level, folder, safe);
        const seconds = ((performance.now() - began) / 1000).toFixed(1);
        console.log(`${column}: ${total - faults.length} of ${total} hostile programs were contained, in ${seconds} s`);
        for (const fault of faults) console.log(`  UNSAFE  ${fault}`);
        failed.push(...faults);
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  console.log(`\ncontained, by group:\n${columns.map((column, i) => `  (${i + 1}) ${column}`).join("\n")}`);
  const width = Math.max(...groups.map(([group]) => group.length));
  console.log(`${"".padEnd(width)}  ${"of".padStart(4)}${columns.map((_, i) => `(${i + 1})`.padStart(6)).join("")}`);
  for (const [group, list] of groups) {
    const counts = safe.get(group)!.map((n) => String(n).padStart(6));
    console.log(`${group.padEnd(width)}  ${String(list.length).padStart(4)}${counts.join("")}`);
  }
  console.log(`${columns.length * total - failed.length} of ${columns.length * total} were contained`);
  return failed.length || columns.length === 0 ? 1 : 0;
}

const fileOf = (group: string, i: number): string => `${group.replaceAll(" ", "-")}-${i}.wasm`;

/** @returns the attacks that were not contained, and what they did */
async function attackAll(
  browser: BrowserName,
  level: Level,
  folder: string,
  safe: Map<string, number[]>,
): Promise<string[]> {
  const faults: string[] = [];
  const directories = { "/attacks/": folder, "/guests/": `${root}test/guests/out` };
  await withPage(
    browser,
    directories,
    async (page) => {
      const uncaught: string[] = [];
      page.on("pageerror", (error) => uncaught.push(String(error)));
      await page.evaluate(begin, level.isolation);
      for (const [group, list] of Object.entries(attacks)) {
        let count = 0;
        for (const [i, attack] of list.entries()) {
          const seen = await attackOnce(page, `/attacks/${fileOf(group, i)}`, attack);
          const fault = judge(attack, seen) ?? (uncaught.length ? `uncaught: ${uncaught.splice(0)}` : undefined);
          if (fault === undefined) count++;
          else faults.push(`${group}: ${attack.name}: ${fault}`);
        }
        safe.get(group)!.push(count);
      }
      const after = await page.evaluate(end);
      for (const fault of after) faults.push(`after all attacks: ${fault}`);
    },
    { shared: level.shared },
  );
  return faults;
}

async function begin(isolation: Isolation): Promise<void> {
  const scope = globalThis as unknown as Scope;
  scope.effects = 0;
  const add = library.defineTool({
    name: "add",
    description: "Adds two integers.",
    inputSchema: { type: "object" },
    execute: () => ++scope.effects,
  });
  scope.kernel = await library.createKernel({
    policy: `permit (principal, action == Action::"call:add", resource) when { context.vak.calls < 0 };`,
    tools: [add],
    log: { name: "hostile" },
    isolation,
  });
  const program = fetch("/guests/hello.wasm");
  scope.bystander = await scope.kernel.spawn({ name: "bystander", program, files: { secret: "kept" } });
  scope.before = await scope.bystander.files.snapshot();
}

/** Checks the bystander and the page after all attacks. */
async function end(): Promise<string[]> {
  const { kernel, bystander, before, effects } = globalThis as unknown as Scope;
  const faults: string[] = [];
  if ((await bystander.files.snapshot()) !== before) faults.push("the bystander's files have changed");
  const run = bystander.run();
  const stdout = await new Response(run.stdout).text();
  if ((await run.result).status !== "exited" || stdout !== "hello\n") faults.push("the bystander no longer runs");
  if (effects) faults.push(`a denied tool was executed ${effects} times`);
  await kernel.close();
  const frames = document.querySelectorAll("iframe").length;
  if (frames) faults.push(`${frames} frames were left behind`);
  return faults;
}

function attackOnce(page: Page, url: string, { limits = {} }: Attack): Promise<Seen> {
  return page.evaluate(
    async ({ url, limits }) => {
      const { kernel } = globalThis as unknown as Scope;
      const program = await (await fetch(url)).arrayBuffer();
      let agent: Scope["bystander"];
      try {
        agent = await kernel.spawn({ name: "hostile", program, limits });
      } catch (error) {
        const { code, message } = error as { code: string; message: string };
        return { refused: { code, message } };
      }
      const run = agent.run();
      const [stdout, stderr] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text()]);
      const result = await run.result;
      // Its worker still works.
      await agent.files.list();
      await agent.close();
      return { result, stdout, stderr };
    },
    { url, limits },
  );
}

/** What was unsafe about the outcome, or undefined. */
function judge({ safe, stdout }: Attack, seen: Seen): string | undefined {
  if (safe instanceof RegExp) {
    const { code, message } = seen.refused ?? {};
    return code === "invalid-module" && safe.test(message!) ? undefined : JSON.stringify(seen);
  }
  if (!seen.result) return JSON.stringify(seen);
  const ended: Record<string, unknown> = { ...seen.result, stderr: seen.stderr };
  const asExpected = Object.entries(safe).every(([name, value]) => ended[name] === value);
  const hasDigest = /^[0-9a-f]{64}$/.test(seen.result.digest ?? "");
  const printed = stdout === undefined || seen.stdout === stdout;
  return asExpected && hasDigest && printed ? undefined : JSON.stringify(seen);
}
