/** More programs than a browser has room for: about 125 memories in a process of Chromium, 999 in one of Firefox. */
import { expect, test } from "vitest";
import { loadGuest } from "../../guests/load.ts";
import { engine } from "../../setup/engine.ts";
import { entriesOf, finish, started, testKernel } from "../../setup/kernel.ts";

/**
 * Takes all the room that there is in this process, in a worker, so that ending that gives it back. What other workers and
 * the tests before have let go of comes free only as their garbage is collected, so it goes on taking, and says that all is
 * taken when there has been nothing more for half a second.
 */
async function fill(): Promise<{ count: number; empty(): void }> {
  const source = `
    const taken = [];
    let last = performance.now();
    const take = () => {
      try {
        while (taken.length < 3000) {
          taken.push(new WebAssembly.Memory({ initial: 1, maximum: 16 }));
          last = performance.now();
        }
      } catch {}
      if (taken.length === 3000 || performance.now() - last > 500) postMessage(taken.length);
    };
    take();
    setInterval(take, 20);
    onmessage = () => taken;
  `;
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(source)}`);
  const count = await new Promise<number>((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
  return { count, empty: () => worker.terminate() };
}

// WebKitGTK makes 3000 memories of a page each.
const bounded = engine !== "webkit";

test.runIf(bounded)(
  "where there is no room, a run fails if the caller chose so, and says why; the agent lives",
  async () => {
    await using kernel = await testKernel({ onFull: "fail" });
    await using agent = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
    const room = await fill();
    const { result, stdout } = await finish(agent.run());
    room.empty();
    expect(room.count).toBeLessThan(3000);
    expect(result).toMatchObject({ status: "failed", digest: null, usage: { fuel: 0 } });
    expect(result).toMatchObject({ message: expect.stringContaining("no room for the program") });
    expect(stdout).toBe("");
    expect(await entriesOf(kernel, "run-end")).toMatchObject([{ status: "failed", usage: { fuel: 0 } }]);
    await expect.poll(async () => (await finish(agent.run())).stdout).toBe("hello\n");
  },
);

test.runIf(bounded)("a run that is alone does not wait for ever", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
  const room = await fill();
  const { result } = await finish(agent.run());
  room.empty();
  expect(result).toMatchObject({ status: "failed", message: expect.stringContaining("no room for the program") });
});

test.runIf(bounded)("where there is no room, a run waits for others to end, and its deadline with it", async () => {
  await using kernel = await testKernel();
  await using other = await kernel.spawn({ name: "other", program: await loadGuest("spin") });
  const others = other.run();
  await started(kernel, others);
  await using agent = await kernel.spawn({
    name: "hello",
    program: await loadGuest("hello"),
    limits: { deadlineMs: 2000 },
  });
  const room = await fill();
  const run = agent.run();
  let ended = false;
  run.result.then(() => {
    ended = true;
  });
  await started(kernel, run);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  expect(ended).toBe(false);
  room.empty();
  expect(await finish(run)).toMatchObject({ stdout: "hello\n", result: { status: "exited" } });
  others.stop();
});

test.runIf(bounded)("a run that waits for room is stopped like any other", async () => {
  await using kernel = await testKernel();
  await using other = await kernel.spawn({ name: "other", program: await loadGuest("spin") });
  const others = other.run();
  await started(kernel, others);
  await using agent = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
  const room = await fill();
  const run = agent.run();
  await started(kernel, run);
  await new Promise((resolve) => setTimeout(resolve, 100));
  run.stop();
  expect(await run.result).toMatchObject({ status: "stopped", limit: "aborted", digest: null });
  room.empty();
  others.stop();
  expect(await finish(agent.run())).toMatchObject({ stdout: "hello\n", result: { status: "exited" } });
});

test("agents that have run and live on take no room", async () => {
  const count = engine === "chromium" ? 140 : 20;
  await using kernel = await testKernel({ onFull: "fail" });
  const program = await loadGuest("hello");
  const ends = new Map<string, number>();
  for (let i = 0; i < count; i++) {
    const agent = await kernel.spawn({ name: `agent ${i}`, program: program.slice() });
    const { status } = await agent.run().result;
    ends.set(status, (ends.get(status) ?? 0) + 1);
  }
  expect([...ends]).toEqual([["exited", count]]);
});

test("onFull is wait or fail", async () => {
  await expect(testKernel({ onFull: "perhaps" as "wait" })).rejects.toMatchObject({ code: "invalid-argument" });
});
