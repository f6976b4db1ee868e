/** Every limit of a run holds, and pausing, resuming and stopping work. */
import { expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { type Kernel, MiB } from "../../../src/index.ts";
import { replayAll } from "../../../src/replay/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { effects, entriesOf, finish, started, stopUnseen, testKernel } from "../../setup/kernel.ts";
import { wat } from "../../unit/meter/assemble.ts";

const endless = ["spin", "spin-calls", "flood-nothing"];

test.each(endless)(
  "a guest that never ends (%s) is stopped when its fuel is used up, at the same unit everywhere",
  async (guest) => {
    // A call to the host takes far longer than a unit of fuel.
    const fuel = guest === "flood-nothing" ? 1_000_000 : 10_000_000;
    await using kernel = await testKernel();
    await using agent = await kernel.spawn({
      name: guest,
      program: await loadGuest(guest),
      limits: { fuel },
    });
    const { result } = await finish(agent.run());
    expect(result).toMatchObject({ status: "stopped", limit: "fuel", usage: { fuel } });
    expect(result.digest).toMatch(/^[0-9a-f]{64}$/);
    expect((await entriesOf(kernel, "run-end"))[0]).toMatchObject({ limit: "fuel", usage: { fuel } });
    // The stop was orderly: the agent lives on.
    expect((await finish(agent.run())).result).toMatchObject({ status: "stopped", limit: "fuel" });
  },
);

test.each(endless)(
  "a guest that never ends (%s) is stopped in an orderly way by its deadline, a signal, stop and close",
  async (guest) => {
    await using kernel = await testKernel();
    const program = await loadGuest(guest);
    await using short = await kernel.spawn({ name: "short", program, limits: { deadlineMs: 300 } });
    const late = { status: "stopped", limit: "deadline", digest: expect.any(String) };
    expect(await short.run().result).toMatchObject(late);
    expect(await short.run().result).toMatchObject(late); // the agent lives on

    const agent = await kernel.spawn({ name: guest, program });
    const controller = new AbortController();
    const aborted = agent.run({ signal: controller.signal });
    await started(kernel, aborted);
    controller.abort();
    expect(await aborted.result).toMatchObject({ status: "stopped", limit: "aborted", digest: expect.any(String) });

    const stopped = agent.run();
    await started(kernel, stopped);
    stopped.stop();
    expect(await stopped.result).toMatchObject({ status: "stopped", limit: "aborted", digest: expect.any(String) });

    const closed = agent.run();
    await started(kernel, closed);
    void agent.close();
    expect(await closed.result).toMatchObject({ status: "stopped", limit: "aborted", digest: expect.any(String) });
    await agent.close();
    expect(await entriesOf(kernel, "agent-close")).toHaveLength(1);
  },
);

test("a run can be paused and resumed, and its deadline stands still meanwhile", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "count",
    program: await loadGuest("count"),
    limits: { deadlineMs: 1000 },
  });
  const run = agent.run();
  const reader = run.stdout.getReader();
  await reader.read();
  run.pause();
  run.pause();
  // What was under way when it was paused still arrives; then nothing does.
  const silent = async (ms: number) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const quiet = new Promise<"quiet">((resolve) => {
      timer = setTimeout(() => resolve("quiet"), ms);
    });
    try {
      return (await Promise.race([reader.read(), quiet])) === "quiet";
    } finally {
      clearTimeout(timer);
    }
  };
  await expect.poll(() => silent(1500)).toBe(true); // longer than the deadline
  run.resume();
  expect(await run.result).toMatchObject({ status: "stopped", limit: "deadline" });
});

test("a run that is paused before it begins is paused once it has begun", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "spin", program: await loadGuest("spin"), limits: { fuel: 1e8 } });
  const run = agent.run();
  run.pause();
  const still = new Promise((resolve) => setTimeout(() => resolve("still"), 1500));
  expect(await Promise.race([run.result, still])).toBe("still");
  run.resume();
  expect(await run.result).toMatchObject({ status: "stopped", limit: "fuel" });
});

const same = { verdict: "same", divergence: null, notCompared: [] };
const endUnseen = { ...same, notCompared: ["how its program ended, before it saw that it was stopped"] };

async function replays(kernel: Kernel, program: Uint8Array<ArrayBuffer>) {
  const bundle = await openBundle(await kernel.log.export({ programs: [program] }));
  expect(await verify(bundle)).toMatchObject({ ok: true });
  const found = [];
  for await (const { verdict, divergence, notCompared } of replayAll(bundle)) {
    found.push({ verdict, divergence, notCompared });
  }
  return found;
}

test.each([
  ["returns", ""],
  ["exits", "(call $proc_exit (i32.const 3))"],
  ["traps", "unreachable"],
  [
    "traps after work that its fuel does not count",
    `(loop $work (local.set $i (i32.add (local.get $i) (i32.const 1)))
       (br_if $work (i32.lt_u (local.get $i) (i32.const 1000))))
     (drop (memory.grow (i32.const 1)))
     (drop (i32.div_u (i32.const 1) (i32.const 0)))`,
  ],
  ["reaches another limit", "(loop $for-ever (br $for-ever))"],
])("a run that is stopped as its program %s is stopped, and replays the same, as do later runs", async (_, end) => {
  const program = wat(`(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\\10\\00\\00\\00\\02\\00\\00\\00")
    (data (i32.const 16) ".\\n")
    (func $print (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func (export "_start") (local $i i32) (call $print) (call $print) ${end}))`);
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "brief", program, limits: { fuel: 1e6 } });
  const run = agent.run();
  const reader = run.stdout.getReader();
  await reader.read();
  stopUnseen(run);
  expect(await run.result).toMatchObject({ status: "stopped", limit: "aborted", digest: expect.any(String) });
  expect((await finish(agent.run())).stdout).toBe(".\n.\n");
  expect(await replays(kernel, program)).toEqual([endUnseen, same]);
});

test("a function of a reactor that is stopped as it answers gives no answer, and replays the same", async () => {
  const program = await loadGuest("reactor");
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "library", program });
  await agent.call("count", null).result;
  const run = agent.call("note", "a");
  await run.stdout.getReader().read();
  stopUnseen(run);
  const result = await run.result;
  expect(result).toMatchObject({ status: "stopped", limit: "aborted", digest: expect.any(String) });
  expect(result).not.toHaveProperty("value");
  expect(await agent.call("count", null).result).toMatchObject({ status: "exited" });
  expect(await replays(kernel, program)).toEqual([same, endUnseen, same]);
});

test("a paused run can be stopped", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "spin", program: await loadGuest("spin") });
  const run = agent.run();
  run.pause();
  await started(kernel, run);
  run.stop();
  expect(await run.result).toMatchObject({ status: "stopped", limit: "aborted", digest: expect.any(String) });
});

test("stack: recursion traps at the limit stackDepth, the same in every engine", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "deep",
    program: await loadGuest("trap-stack"),
    limits: { stackDepth: 1000 },
  });
  const { result } = await finish(agent.run());
  expect(result).toMatchObject({ status: "trapped", trap: "stack", message: expect.stringContaining("stackDepth") });
});

test("a signal that is already aborted stops a run before it begins", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
  const { result, stdout } = await finish(agent.run({ signal: AbortSignal.abort() }));
  expect(result).toMatchObject({ status: "stopped", limit: "aborted", digest: null });
  expect(stdout).toBe("");
  // Its worker is unharmed.
  expect((await finish(agent.run())).stdout).toBe("hello\n");
});

test("output: n bytes are allowed, n + 1 stop the run, and the first n are kept", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("hello");
  const exact = await kernel.spawn({ name: "exact", program, limits: { outputBytes: 6 } });
  expect((await finish(exact.run())).result).toMatchObject({ status: "exited", exitCode: 0 });
  const less = await kernel.spawn({ name: "less", program, limits: { outputBytes: 5 } });
  const { result, stdout } = await finish(less.run());
  expect(result).toMatchObject({ status: "stopped", limit: "output", usage: { outputBytes: 5 } });
  expect(stdout).toBe("hello");
  // The stop was orderly: the agent can run again.
  expect((await finish(less.run())).result).toMatchObject({ status: "stopped", limit: "output" });
});

test("attack: a flood of output stops at the limit, and the page stays responsive", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "flood",
    program: await loadGuest("flood"),
    limits: { outputBytes: 2 * MiB },
  });
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const { result, stdout } = await finish(agent.run());
  clearInterval(timer);
  expect(result).toMatchObject({ status: "stopped", limit: "output", usage: { outputBytes: 2 * MiB } });
  expect(stdout.length).toBe(2 * MiB);
  expect(ticks).toBeGreaterThan(0);
});

test("memory: growth fails at the limit, and the guest continues", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "grow",
    program: await loadGuest("grow"),
    limits: { memoryBytes: 5 * MiB },
  });
  const { result, stdout } = await finish(agent.run());
  expect(result).toMatchObject({ status: "exited", exitCode: 0, usage: { memoryBytes: 5 * MiB } });
  expect(stdout.trim()).toBe("80");
});

test("memory: a program that starts with more than the limit is refused", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("agent");
  await expect(kernel.spawn({ name: "big", program, limits: { memoryBytes: 64 * 1024 } })).rejects.toMatchObject({
    code: "invalid-module",
    message: expect.stringContaining("memoryBytes"),
  });
});

test("tables: growth fails at the limit", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "table",
    program: await loadGuest("table"),
    limits: { tableElements: 100 },
  });
  const { result, stdout } = await finish(agent.run());
  expect(result).toMatchObject({ status: "exited", exitCode: 0 });
  expect(stdout.trim()).toBe("100");
});

test("calls: n are allowed, and the next one stops the run", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "calls",
    program: await loadGuest("call-flood"),
    limits: { calls: 3 },
  });
  const { result } = await finish(agent.run());
  expect(result).toMatchObject({ status: "stopped", limit: "calls", usage: { calls: 3 } });
  expect(effects).toHaveLength(3);
  expect(await entriesOf(kernel, "outcome")).toHaveLength(3);
});

test("calls: a request of callBytes is answered; one a byte longer gets E2BIG and does not count", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "long",
    program: await loadGuest("call-long"),
    limits: { callBytes: 64 },
  });
  const { result } = await finish(agent.run());
  expect(result).toMatchObject({ status: "exited", exitCode: 0, usage: { calls: 1 } });
});

test("calls: if not even an error fits in callBytes, the answer is empty", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "agent",
    program: await loadGuest("agent"),
    files: { "in.txt": "x" },
    limits: { callBytes: 64 },
  });
  // "denied" with its reason would take 67 bytes; the log has it all the same.
  expect((await finish(agent.run())).stdout).toContain('add: {"ok":3}\nwipe: none\n');
  expect(await entriesOf(kernel, "denial")).toHaveLength(1);
});

test("files: a write past fileBytes gets ENOSPC, and the guest continues", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "agent",
    program: await loadGuest("agent"),
    files: { "in.txt": "12345" },
    limits: { fileBytes: 10 },
  });
  const { result } = await finish(agent.run());
  expect(result.status).toBe("exited");
  expect(result).not.toMatchObject({ exitCode: 0 });
  expect(result.usage.fileBytes).toBeLessThanOrEqual(10);
});

test("files: the limits hold for the page too", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("hello");
  await expect(
    kernel.spawn({ name: "a", program, files: { "a.txt": "12345678901" }, limits: { fileBytes: 10 } }),
  ).rejects.toMatchObject({ code: "invalid-argument", message: expect.stringContaining("fileBytes") });
  await using agent = await kernel.spawn({ name: "a", program, limits: { fileBytes: 10, fileCount: 1 } });
  await expect(agent.files.write("a.txt", "12345678901")).rejects.toMatchObject({ code: "invalid-argument" });
  await agent.files.write("a.txt", "1234567890");
  await expect(agent.files.write("b.txt", "")).rejects.toMatchObject({ code: "invalid-argument" });
});

test("sleep takes real time for the page and exact time for the guest", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "sleep", program: await loadGuest("sleep") });
  const began = performance.now();
  expect((await finish(agent.run())).result).toMatchObject({ status: "exited", exitCode: 0 });
  expect(performance.now() - began).toBeGreaterThan(45);
});
