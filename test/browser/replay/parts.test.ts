/** The trace of a long run is in the log before the run has ended. */
import { expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { defineTool, type Kernel, type RunOptions } from "../../../src/index.ts";
import { forkPoint, replay } from "../../../src/replay/index.ts";
import { pageWaitMode } from "../../../src/worker/requirements.ts";
import { loadGuest } from "../../guests/load.ts";
import { add, entriesOf, finish, testKernel } from "../../setup/kernel.ts";

/** Stores so many parts of the trace during the run: a tool answers once there is one more. */
async function recordInParts(parts: number, { change = false, ...options }: RunOptions & { change?: boolean } = {}) {
  let kernel: Kernel | undefined;
  let calls = 0;
  const waiting = defineTool({
    ...add,
    execute: async ({ a, b }: { a: number; b: number }) => {
      const part = ++calls / 3;
      // Where a guest waits in shared memory, its worker receives the message only after the run.
      if (change) void agent.files.write("inbox.txt", `meanwhile ${calls}`);
      if (part <= parts) await stored(kernel!, part);
      return a + b;
    },
  });
  kernel = await testKernel({ tools: [waiting as never], policy: "permit (principal, action, resource);" });
  const program = await loadGuest("busy");
  const agent = await kernel.spawn({ name: "busy", program, seed: 3, files: { "inbox.txt": "before" } });
  const { result } = await finish(agent.run({ args: ["20"], ...options }));
  expect(result).toMatchObject({ status: "exited", usage: { calls: 10 } });
  const bundle = await openBundle(await kernel.log.export({ programs: [program] }));
  expect(await verify(bundle)).toMatchObject({ ok: true, problems: [], missing: [] });
  return { kernel, agent, bundle };
}

/** Waits until so many parts of a trace are in the log. */
async function stored(kernel: Kernel, parts: number): Promise<void> {
  if (!Number.isInteger(parts)) return;
  const stop = new AbortController();
  for await (const { entry } of kernel.log.entries({ follow: true, signal: stop.signal })) {
    if (entry.type === "trace" && entry.part === parts) stop.abort();
  }
}

const partsOf = async (kernel: Kernel) => {
  const parts = await entriesOf(kernel, "trace");
  expect(parts.map(({ part }) => part)).toEqual(parts.map((_, i) => i + 1));
  return parts;
};

test("a run's trace is stored in parts while it makes calls, and is the same trace", async () => {
  const { kernel, bundle } = await recordInParts(3);
  await using _kernel = kernel;
  const parts = await partsOf(kernel);
  expect(parts.length).toBeGreaterThanOrEqual(3);
  const first = (await kernel.log.value(parts[0]!.seq)) as { calls: unknown[]; changes: unknown[] };
  // The page's files come first, and the call that waits is in it.
  expect(first.changes).toHaveLength(1);
  expect(first.calls.at(-1)).toEqual([expect.any(Number), expect.any(Number), null]);
  expect(await replay(bundle, 1)).toMatchObject({ verdict: "same", calls: 10, notCompared: [] });
  expect((await forkPoint(bundle, 1, { call: 8 })).runs[0]!.calls).toHaveLength(7);

  const [end] = await entriesOf(kernel, "run-end");
  expect(((await kernel.log.value(end!.seq)) as typeof first).calls.length).toBeLessThan(10);
  await kernel.log.erase(parts[1]!.seq);
  const erased = await openBundle(await kernel.log.export());
  expect(await verify(erased)).toMatchObject({ ok: true, erased: [parts[1]!.seq] });
  await expect(replay(erased, 1, { program: await loadGuest("busy") })).rejects.toMatchObject({
    code: "not-found",
    message: expect.stringContaining("part 2 of its trace is not in the bundle"),
  });
});

test("so is one with the real clock, and one during which the page changes files", async () => {
  const { kernel, agent, bundle } = await recordInParts(3, { clock: "real", change: true });
  await using _kernel = kernel;
  const parts = await partsOf(kernel);
  const values = await Promise.all(
    parts.map(({ seq }) => kernel.log.value(seq) as Promise<{ changes: { at: unknown }[]; readings: number[] }>),
  );
  expect(values[0]!.changes[0]).toMatchObject({ path: "inbox.txt", at: null });
  for (const { changes, readings } of values.slice(0, 3)) {
    if (pageWaitMode() === "jspi") expect(changes.filter(({ at }) => at !== null).length).toBeGreaterThan(0);
    expect(readings.length).toBeGreaterThan(0);
  }
  expect(await replay(bundle, 1)).toMatchObject({ verdict: "same", calls: 10, notCompared: [] });
  // A later run begins with the files of this one.
  await finish(agent.run({ args: ["2"] }));
  const both = await openBundle(await kernel.log.export({ programs: [await loadGuest("busy")] }));
  expect(await replay(both, 2)).toMatchObject({ verdict: "same" });
});

test("a run for which the page wants no trace stores none", async () => {
  const { kernel } = await recordInParts(0, { trace: false });
  await using _kernel = kernel;
  expect(await entriesOf(kernel, "trace")).toEqual([]);
});

test("a run is replayed from parts even if the page changed another file before each look of the guest", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("busy");
  await using agent = await kernel.spawn({ name: "busy", program, seed: 4, limits: { calls: 1_000_000 } });
  const run = agent.run();
  const done = finish(run);
  const enough = stored(kernel, 2);
  let end = false;
  void enough.then(() => {
    end = true;
    run.stop();
  });
  for (let n = 0; !end; n++) await agent.files.write("inbox.txt", `meanwhile ${n}`);
  await done;
  const bundle = await openBundle(await kernel.log.export({ programs: [program] }));
  expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
  expect(await replay(bundle, 1)).toMatchObject({ verdict: "same", divergence: null });
});

test("a run whose worker was lost can be re-executed as far as its parts reach", async () => {
  let kernel: Kernel | undefined;
  const lasting = defineTool({
    ...add,
    execute: async ({ a, b }: { a: number; b: number }) => {
      if (a !== 6) return a + b;
      await stored(kernel!, 1);
      // A worker cannot be ended from within; one that does not stop is terminated.
      agent.lose("the test ends it");
      return new Promise<number>(() => {});
    },
  });
  kernel = await testKernel({ tools: [lasting as never], policy: "permit (principal, action, resource);" });
  await using _kernel = kernel;
  const program = await loadGuest("busy");
  const agent = await kernel.spawn({ name: "busy", program, seed: 3 });
  expect((await finish(agent.run())).result).toMatchObject({ status: "failed", digest: null });
  const bundle = await openBundle(await kernel.log.export({ programs: [program] }));
  expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
  expect(await replay(bundle, 1)).toMatchObject({
    verdict: "interrupted",
    missing: expect.stringMatching(/^its worker was lost: .* goes to call 3 and \d+ units of fuel$/),
    calls: 3,
  });
});
