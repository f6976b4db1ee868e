/** A kernel for tests: its tools and policy, and helpers that run agents and read its log. */
import type { Entry } from "../../src/audit/entry.ts";
import { type Agent, createKernel, defineTool, type Kernel, type KernelOptions, type Run } from "../../src/index.ts";

const integers = {
  type: "object",
  properties: { a: { type: "integer" }, b: { type: "integer" } },
  required: ["a", "b"],
} as const;

/** What the tools have done, so that a test can check that nothing was done. */
export const effects: string[] = [];

export const add = defineTool({
  name: "add",
  description: "Adds two integers.",
  inputSchema: integers,
  execute: ({ a, b }) => {
    effects.push(`add ${a} ${b}`);
    return a + b;
  },
});

export const wipe = defineTool({
  name: "wipe",
  description: "Wipes a path.",
  inputSchema: { type: "object", properties: { path: { type: "string" } } },
  execute: ({ path }) => {
    effects.push(`wipe ${path}`);
    return "wiped";
  },
});

export const policy = `
@id("small-sums")
permit (principal, action == Action::"call:add", resource) when { context.input.a < 100 };
`;

/** A kernel with a log of its own. */
export function testKernel(options: KernelOptions = {}): Promise<Kernel> {
  effects.length = 0;
  return createKernel({ policy, tools: [add, wipe], log: { name: crypto.randomUUID() }, ...options });
}

/** Waits until a run ends. Resolves with its result and its output as text. */
export async function finish(run: Run) {
  const stdout = new Response(run.stdout).text();
  const stderr = new Response(run.stderr).text();
  return { result: await run.result, stdout: await stdout, stderr: await stderr };
}

/** Waits until the run's start is in the log. */
export async function started(kernel: Kernel, run: Run): Promise<void> {
  const stop = new AbortController();
  for await (const { entry } of kernel.log.entries({ follow: true, signal: stop.signal })) {
    if (entry.type === "run-start" && entry.run === run.id) stop.abort();
  }
}

/** Stops a run whose program ends meanwhile: the page is busy until then, so it does not hear of that before. */
export function stopUnseen(run: Run): void {
  const until = performance.now() + 500;
  while (performance.now() < until);
  run.stop();
}

/** All entries of the log, or only those of one type. */
export async function entriesOf(kernel: Kernel): Promise<Entry[]>;
export async function entriesOf<T extends Entry["type"]>(
  kernel: Kernel,
  type: T,
): Promise<Extract<Entry, { type: T }>[]>;
export async function entriesOf(kernel: Kernel, type?: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const { entry } of kernel.log.entries()) if (!type || entry.type === type) entries.push(entry);
  return entries;
}

/** Makes calls through the guest `requests`, one after the other. Resolves with their answers. */
export async function calls(agent: Agent, ...requests: { tool: string; input?: unknown }[]): Promise<Answer[]> {
  const run = agent.run({ stdin: requests.map((request) => `${JSON.stringify(request)}\n`).join("") });
  const { stdout } = await finish(run);
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

export type Answer = { ok: unknown } | { error: { code: string; message: string } };
