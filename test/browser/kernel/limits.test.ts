import { expect, test } from "vitest";
import { MiB } from "../../../src/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { engine } from "../../setup/engine.ts";
import { effects, entriesOf, finish, testKernel } from "../../setup/kernel.ts";

/** In WebKit a worker that spins in WebAssembly outlives everything, the page too, and takes a core with it. */
const spins = test.skipIf(engine === "webkit");

spins("a guest that spins is ended by its deadline", async () => {
  await using kernel = await testKernel();
  const agent = await kernel.spawn({ name: "spin", program: await loadGuest("spin"), limits: { deadlineMs: 200 } });
  const { result } = await finish(agent.run());
  expect(result).toMatchObject({ status: "stopped", limit: "deadline" });
  expect((await entriesOf(kernel, "run-end"))[0]).toMatchObject({ status: "stopped", limit: "deadline" });
});

spins("a guest that spins is ended by its signal, by stop, and by close", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("spin");
  const stops: ((controller: AbortController, agent: Awaited<ReturnType<typeof kernel.spawn>>) => void)[] = [
    (controller) => controller.abort(),
    (_, agent) => void agent.close(),
  ];
  for (const stop of stops) {
    const agent = await kernel.spawn({ name: "spin", program });
    const controller = new AbortController();
    const run = agent.run({ signal: controller.signal });
    setTimeout(() => stop(controller, agent), 50);
    expect(await run.result).toMatchObject({ status: "stopped", limit: "aborted" });
    await agent.close();
  }
  const agent = await kernel.spawn({ name: "spin", program });
  const run = agent.run();
  setTimeout(() => run.stop(), 50);
  expect(await run.result).toMatchObject({ status: "stopped", limit: "aborted" });
});

test("an aborted signal stops a run before it begins", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
  const { result, stdout } = await finish(agent.run({ signal: AbortSignal.abort() }));
  expect(result).toMatchObject({ status: "stopped", limit: "aborted" });
  expect(stdout).toBe("");
});

test("output: n bytes are allowed, n + 1 stop the run, and what fitted is kept", async () => {
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

test("memory: growth fails at the limit, and the guest goes on", async () => {
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

test("calls: n are allowed, the next stops the run", async () => {
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

test("calls: a request longer than callBytes is refused with an errno, an answer with an error", async () => {
  await using kernel = await testKernel();
  const agent = await kernel.spawn({
    name: "agent",
    program: await loadGuest("agent"),
    files: { "in.txt": "x" },
    limits: { callBytes: 64 },
  });
  // The guest's first request has 43 bytes and fits.
  expect((await finish(agent.run())).stdout).toContain('add: {"ok":3}');
});

test("files: bytes past the limit are ENOSPC, and the guest goes on", async () => {
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

test("files: the page cannot go past the limits either", async () => {
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

test("sleeping is real time for the page and exact time for the guest, and a stop ends it", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "sleep", program: await loadGuest("sleep") });
  const began = performance.now();
  expect((await finish(agent.run())).result).toMatchObject({ status: "exited", exitCode: 0 });
  expect(performance.now() - began).toBeGreaterThan(45);
});
