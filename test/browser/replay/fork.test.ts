/** Forks: recorded runs that are continued from one of their calls. */
import { expect, test } from "vitest";
import { type Bundle, openBundle, verify } from "../../../src/audit/index.ts";
import { defineTool, type Kernel } from "../../../src/index.ts";
import { forkPoint, openReplay, replay } from "../../../src/replay/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { add, effects, entriesOf, finish, testKernel } from "../../setup/kernel.ts";

const program = await loadGuest("busy");
const bundleOf = async (kernel: Kernel): Promise<Bundle> => openBundle(await kernel.log.export());
const lines = (text: string) => text.trimEnd().split("\n");

/** Two runs of one agent, of 6 and 5 calls. */
async function recorded() {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "busy", program, seed: 3, files: { "inbox.txt": "first" } });
  const first = await finish(agent.run({ args: ["12"], env: { B: "1", A: "2" }, stdin: "typed" }));
  await agent.files.write("inbox.txt", "second");
  const second = await finish(agent.run({ args: ["10"] }));
  return { bundle: await bundleOf(kernel), first, second, id: agent.id };
}

test("a fork continues a run from a call as if uninterrupted when tools and policy answer the same", async () => {
  const { bundle, first, second, id } = await recorded();
  for (const [n, whole] of [first, second].entries()) {
    await using kernel = await testKernel();
    const { agent, run } = await kernel.fork(await forkPoint(bundle, n + 1, { call: 4 }), { program });
    const again = await finish(run);
    expect(again.stdout).toBe(whole.stdout);
    expect(again.result).toMatchObject({ status: "exited", digest: whole.result.digest });
    expect(again.result.usage.fuel).toBe(whole.result.usage.fuel);
    // What led there was answered from the recording: this kernel did only the rest.
    expect(effects).toHaveLength(whole.result.usage.calls - 3);
    expect((await entriesOf(kernel, "intent")).map(({ call }) => call)[0]).toBe(4);
    expect(await entriesOf(kernel, "run-start")).toMatchObject([{ continues: { run: `${id}/${n + 1}`, call: 4 } }]);
    const [end] = await entriesOf(kernel, "run-end");
    expect(end?.untraced).toBe(null);
    await agent.close();
    // It has a trace of its own: this log suffices to execute it again, including what led there.
    const own = await bundleOf(kernel);
    expect(await verify(own)).toMatchObject({ ok: true, problems: [] });
    const replayed = await replay(own, 1, { program });
    expect(replayed).toMatchObject({ verdict: "same", divergence: null, calls: whole.result.usage.calls });
    expect(replayed.notCompared).toEqual([`what calls 1 to 3 ask, which were made in run ${id}/${n + 1}`]);
  }
});

test("a fork can itself be forked, from after its first call and from before it", async () => {
  const { bundle, second } = await recorded();
  await using kernel = await testKernel();
  const { agent, run } = await kernel.fork(await forkPoint(bundle, 2, { call: 4 }), { program });
  await finish(run);
  await agent.files.write("inbox.txt", "third");
  const third = await finish(agent.run({ args: ["6"] }));
  const own = await bundleOf(kernel);
  for (const [run, call, whole] of [
    [1, 5, second],
    [1, 2, second],
    [2, 2, third],
  ] as const) {
    await using other = await testKernel();
    const again = await other.fork(await forkPoint(own, run, { call }), { program });
    expect((await finish(again.run)).result).toMatchObject({ status: "exited", digest: whole.result.digest });
    expect(await replay(await bundleOf(other), 1, { program })).toMatchObject({ verdict: "same" });
  }
  // Going back in it begins with the run that it continues.
  const replayer = await openReplay(own, { program });
  for (const call of [3, 1, 5]) {
    const until = { call };
    expect(await replayer.replay(1, { until })).toEqual(await replay(own, 1, { program, until }));
  }
  expect(await replayer.replay(2)).toMatchObject({ verdict: "same" });
});

test("attack: a forged fork point: a replay finds where what led there was different", async () => {
  const { bundle } = await recorded();
  const point = await forkPoint(bundle, 2, { call: 5 });
  const [before, last] = [point.runs[0]!, point.runs[1]!];
  const calls = last.calls.map((call, i) => (i === 1 ? { ...call, answer: '{"ok":424242}' } : call));
  await using forked = await testKernel();
  await finish((await forked.fork({ ...point, runs: [before, { ...last, calls }] }, { program })).run);
  expect(await replay(await bundleOf(forked), 1, { program })).toMatchObject({
    verdict: "diverged",
    divergence: { call: 3 },
  });
  const short = { ...point, runs: [{ ...before, calls: before.calls.slice(1, 3) }, last] };
  await using kernel = await testKernel();
  await expect(kernel.fork(short, { program })).rejects.toMatchObject({ code: "invalid-bundle" });
});

test("after the fork, the policy and the tools are this kernel's: other answers lead to other ends", async () => {
  const { bundle, first } = await recorded();
  const other = defineTool({ ...add, execute: () => -1 });
  await using kernel = await testKernel({ tools: [other as never] });
  const point = await forkPoint(bundle, 1, { call: 3 });
  const { agent, run } = await kernel.fork(point, { program });
  const { stdout, result } = await finish(run);
  // The third call is made in the sixth round.
  expect(lines(stdout).slice(0, 5)).toEqual(lines(first.stdout).slice(0, 5));
  expect(lines(stdout)[5]).not.toBe(lines(first.stdout)[5]);
  expect(result.digest).not.toBe(first.result.digest);
  expect(await agent.files.text("inbox.txt")).toBe("first");

  await using none = await testKernel({ policy: "forbid (principal, action, resource);" });
  const denied = await finish((await none.fork(point, { program })).run);
  expect(effects).toEqual([]);
  expect((await entriesOf(none, "denial")).map(({ call }) => call)).toEqual([3, 4, 5, 6]);
  expect(lines(denied.stdout).slice(0, 5)).toEqual(lines(first.stdout).slice(0, 5));
});

test("a run that cannot be forked is refused, and leaves no agent", async () => {
  const { bundle } = await recorded();
  await using kernel = await testKernel();
  await expect(forkPoint(bundle, 1, { call: 7 })).rejects.toMatchObject({ code: "not-found" });
  await expect(forkPoint(bundle, 1, { call: 0 })).rejects.toMatchObject({ code: "invalid-argument" });
  const point = await forkPoint(bundle, 1, { call: 2 });
  const hello = await loadGuest("hello");
  await expect(kernel.fork(point, { program: hello })).rejects.toMatchObject({ code: "invalid-argument" });
  const elsewhere = kernel.fork({ ...point, machine: "wt9/9/9" }, { program });
  await expect(elsewhere).rejects.toMatchObject({ code: "unsupported", message: expect.stringContaining("wt9/9/9") });
  expect(await entriesOf(kernel, "agent-close")).toHaveLength(2);
  expect(await entriesOf(kernel, "run-start")).toEqual([]);
});

test("a fork can be stopped, and an earlier run that was stopped cannot be re-executed for its files", async () => {
  const { bundle } = await recorded();
  await using kernel = await testKernel();
  const stop = new AbortController();
  const { agent, run } = await kernel.fork(await forkPoint(bundle, 1, { call: 2 }), { program, signal: stop.signal });
  stop.abort();
  expect((await finish(run)).result).toMatchObject({ status: "stopped", limit: "aborted" });
  await agent.close();
  // It has not reached the call from which it continues.
  const { agent: early, run: short } = await kernel.fork(await forkPoint(bundle, 1, { call: 6 }), { program });
  await short.stdout.getReader().read();
  short.stop();
  await short.result;
  await early.close();
  expect(await replay(await bundleOf(kernel), 2, { program })).toMatchObject({ verdict: "same", divergence: null });

  await using other = await testKernel();
  await using endless = await other.spawn({ name: "busy", program, limits: { calls: 100_000 } });
  const first = endless.run();
  await first.stdout.getReader().read();
  first.stop();
  await first.result;
  await finish(endless.run({ args: ["4"] }));
  await expect(forkPoint(await bundleOf(other), 2, { call: 1 })).rejects.toMatchObject({ code: "unsupported" });
});

test("a fork that is aborted before it returns throws aborted, whenever that is, and leaves no agent", async () => {
  const { bundle } = await recorded();
  const point = await forkPoint(bundle, 2, { call: 4 });
  await using kernel = await testKernel();
  const began = performance.now();
  await (await kernel.fork(point, { program })).agent.close();
  const whole = performance.now() - began;
  const reason = new Error("enough");
  for (let part = 0; part < 12; part++) {
    const controller = new AbortController();
    let returned = false;
    const forking = kernel.fork(point, { program, signal: controller.signal }).then((fork) => {
      returned = true;
      return fork;
    });
    forking.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, (whole * part) / 12));
    const late = returned;
    controller.abort(reason);
    if (!late) {
      await expect(forking).rejects.toMatchObject({ code: "aborted", cause: reason });
      continue;
    }
    const { agent, run } = await forking;
    await run.result;
    await agent.close();
  }
  const [spawned, closed] = [await entriesOf(kernel, "agent-spawn"), await entriesOf(kernel, "agent-close")];
  expect(spawned.length).toBeGreaterThan(0);
  expect(closed.map(({ agent }) => agent.id).sort()).toEqual(spawned.map(({ agent }) => agent.id).sort());
});

test("attack: a recording whose earlier run never ends: the fork fails at the deadline, and leaves no agent", async () => {
  const { bundle } = await recorded();
  const point = await forkPoint(bundle, 2, { call: 4 });
  await using kernel = await testKernel();
  const spin = await loadGuest("spin");
  const { program: digest } = await kernel.spawn({ name: "spin", program: spin });
  const forged = { ...point, program: digest, limits: { ...point.limits, deadlineMs: 300 } };
  await expect(kernel.fork(forged, { program: spin })).rejects.toMatchObject({
    code: "agent-lost",
    message: expect.stringContaining("deadlineMs"),
  });
  expect(await entriesOf(kernel, "run-start")).toEqual([]);
});

test("a fork has the mounts of the recorded agent as they were, and keeps them nowhere", async () => {
  const shell = await loadGuest("shell");
  const stdin = 'cat /ro/a\nput /ro/a x\ncall {"tool":"add","input":{"a":1,"b":2}}\nput /rw/b 123456\n';
  await using kernel = await testKernel();
  const mounts = {
    ro: { files: { a: "one" }, readOnly: true },
    rw: { files: { b: "two" }, quotaBytes: 5 },
  };
  await using agent = await kernel.spawn({ name: "shell", program: shell, mounts });
  const whole = await finish(agent.run({ stdin }));
  expect(lines(whole.stdout)).toEqual(["one", "EROFS", '{"ok":3}', "ENOSPC"]);
  const point = await forkPoint(await bundleOf(kernel), 1, { call: 1 });
  await using other = await testKernel();
  const { agent: again, run } = await other.fork(point, { program: shell });
  const { stdout, result } = await finish(run);
  expect(stdout).toBe(whole.stdout);
  expect(result.digest).toBe(whole.result.digest);
  await again.close();
  expect(await entriesOf(other, "mount-write")).toEqual([]);
});
