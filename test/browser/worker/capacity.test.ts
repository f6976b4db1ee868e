/** More programs than a browser can hold: about 125 memories in a process of Chromium, 999 in one of Firefox. */
import { expect, onTestFinished, test } from "vitest";
import type { Agent, Kernel, Run, RunResult } from "../../../src/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { engine } from "../../setup/engine.ts";
import { hostileWorker } from "../../setup/hostile-worker.ts";
import { effects, entriesOf, finish, started, testKernel } from "../../setup/kernel.ts";

/**
 * Fills this process with memories, in a worker, so that ending the worker frees them. What other workers and earlier
 * tests have released becomes free only when garbage is collected, so it keeps taking, and resolves once nothing more
 * could be taken for half a second.
 */
async function fill(): Promise<{ count: number; empty(): Promise<void> }> {
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
  /** Resolves once the browser holds another memory: it frees those of a terminated worker later. */
  const empty = async () => {
    worker.terminate();
    await expect.poll(holdsAnother).toBe(true);
  };
  onTestFinished(empty);
  return { count, empty };
}

/**
 * A run that has waited for longer than the deadline of its agent. One that ends before found room: a worker that was
 * terminated earlier freed its memories only now, and the browser was not full.
 */
async function waitingRun(agent: Agent): Promise<Run> {
  for (;;) {
    const run = agent.run();
    const waited = new Promise<undefined>((resolve) => setTimeout(resolve, 3000));
    const result = await Promise.race([run.result, waited]);
    if (!result) return run;
    expect(result).toMatchObject({ status: "exited" });
  }
}

/** Another run in progress, paused: others can wait for it to end, and it uses no processor time. */
async function another(kernel: Kernel, isolation: "opaque" | "page" = "opaque"): Promise<Run> {
  const agent = await kernel.spawn({ name: "other", program: await loadGuest("count"), isolation });
  const run = agent.run();
  await run.stdout.getReader().read(); // it has its memory
  run.pause();
  return run;
}

function holdsAnother(): boolean {
  try {
    return new WebAssembly.Memory({ initial: 1, maximum: 16 }) !== null;
  } catch {
    return false;
  }
}

// WebKitGTK holds 3000 memories of one page each.
const bounded = engine !== "webkit";

test.runIf(bounded)("in a full browser, a run fails if onFull is fail, and says why; the agent lives on", async () => {
  await using kernel = await testKernel({ onFull: "fail" });
  await using agent = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
  const filled = await fill();
  const { result, stdout } = await finish(agent.run());
  await filled.empty();
  expect(filled.count).toBeLessThan(3000);
  expect(result).toMatchObject({ status: "failed", digest: null, usage: { fuel: 0 } });
  expect(result).toMatchObject({
    message: expect.stringMatching(
      /no room for the program.* Close reactors, let other runs end, or set onFull to "wait"\.$/,
    ),
  });
  expect(stdout).toBe("");
  expect(await entriesOf(kernel, "run-end")).toMatchObject([{ status: "failed", usage: { fuel: 0 } }]);
  await expect.poll(async () => (await finish(agent.run())).stdout).toBe("hello\n");
});

test.runIf(bounded)("in a full browser, a run with no others to wait for fails", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
  const filled = await fill();
  const { result } = await finish(agent.run());
  await filled.empty();
  expect(result).toMatchObject({
    status: "failed",
    message: expect.stringMatching(/no room for the program.* Close reactors\.$/),
  });
});

test.runIf(bounded)(
  "in a full browser, a run waits for others to end, and its deadline stands still meanwhile",
  async () => {
    await using kernel = await testKernel();
    const other = await another(kernel);
    await using agent = await kernel.spawn({
      name: "hello",
      program: await loadGuest("hello"),
      limits: { deadlineMs: 2000 },
    });
    const filled = await fill();
    const run = await waitingRun(agent);
    await filled.empty();
    const ended = await finish(run);
    expect(ended.result).toMatchObject({ status: "exited" });
    expect(ended.stdout).toBe("hello\n");
    other.stop();
  },
);

test.runIf(bounded)("a run that waits in a full browser can be stopped", async () => {
  await using kernel = await testKernel();
  const other = await another(kernel);
  await using agent = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
  const filled = await fill();
  const run = agent.run();
  await started(kernel, run);
  await new Promise((resolve) => setTimeout(resolve, 100));
  run.stop();
  expect(await run.result).toMatchObject({ status: "stopped", limit: "aborted", digest: null });
  await filled.empty();
  other.stop();
  expect(await finish(agent.run())).toMatchObject({ stdout: "hello\n", result: { status: "exited" } });
});

/**
 * How a run with a deadline of 600 ms ends whose worker says at first that there is no room, and at its second and
 * third attempt does as it is told.
 *
 * @param patienceMs in place of the 20 seconds that a worker may take each time to begin such a run: by default more
 *   than a test may take, so that only the guest's beginning lets the deadline resume
 */
const endOfWaiting = (second: string, third = "", patienceMs = 600_000): Promise<RunResult> =>
  endBesideAnother(
    `
      const full = () => reply({ noRoom: "full" });
      const takes = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      self.attempts = (self.attempts ?? 0) + 1;
      if (attempts === 1) full();
      else if (attempts === 2) { ${second} }
      else { ${third} }
    `,
    patienceMs,
  );

/**
 * The end of a run with a deadline of 600 ms, whose worker does this when it is handed the run; another run is paused
 * beside it.
 *
 * @param during what the page does meanwhile
 */
async function endBesideAnother(
  onRun: string,
  patienceMs = 20_000,
  during?: (run: Run) => Promise<void>,
): Promise<RunResult> {
  await using kernel = await testKernel();
  const other = await another(kernel, "page");
  await using agent = await kernel.spawn({
    name: "waits",
    program: await loadGuest("hello"),
    isolation: "page",
    limits: { deadlineMs: 600 },
    workerUrl: hostileWorker(onRun),
  });
  const { setTimeout: later } = globalThis;
  globalThis.setTimeout = ((call: () => void, ms?: number) =>
    later(call, ms === 20_000 ? patienceMs : ms)) as typeof later;
  const run = agent.run();
  await during?.(run);
  const result = await run.result.finally(() => {
    globalThis.setTimeout = later;
  });
  other.stop();
  return result;
}

test("the time that an engine takes to find no room for a run that waits is not the run's", async () => {
  const found = await endOfWaiting("await takes(900); full();", "await takes(900); met([], []); reply(END);");
  expect(found).toMatchObject({ status: "exited" });
});

test("the deadline of a run that has waited resumes when the guest begins", async () => {
  expect(await endOfWaiting("met([], []);")).toMatchObject({ status: "stopped", limit: "deadline" });
});

test("attack: a worker that never says that the guest begins does not escape the deadline", async () => {
  expect(await endOfWaiting("", "", 200)).toMatchObject({ status: "stopped", limit: "deadline" });
});

/** Makes calls and writes, for longer than the deadline. */
const works = `
  for (let n = 1; n <= 8; n++) {
    call(n, ADD);
    await answered();
    output("x");
    await takes(200);
  }
`;

test("attack: a worker that calls and writes without reporting that the guest begins does not escape the deadline", async () => {
  const { usage, ...end } = await endOfWaiting(works);
  expect(end).toMatchObject({ status: "stopped", limit: "deadline" });
  expect(usage.calls).toBeGreaterThan(0);
  expect(usage.calls).toBeLessThan(8);
});

test.each(["call(1, ADD); await answered();", 'output("x");', "met([], []);"])(
  "attack: a worker that does %s and then says that there is no room is ended",
  async (does) => {
    expect(await endOfWaiting(`${does} full();`)).toMatchObject({
      status: "failed",
      digest: null,
      message: expect.stringContaining("an end that the protocol does not allow"),
    });
  },
);

test("attack: a worker says that there is no room, and makes a call while its run waits. It is ended, and nothing is done", async () => {
  const calls = 'reply({ noRoom: "full" }); setTimeout(() => call(1, ADD), 20);';
  expect(await endBesideAnother(calls)).toMatchObject({
    status: "failed",
    digest: null,
    message: expect.stringContaining("a message out of turn"),
  });
  expect(effects).toEqual([]);
});

test("attack: a worker says that there is no room after a pause. The pause does not lengthen the deadline", async () => {
  const found = await endBesideAnother(
    `
      const takes = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      self.attempts = (self.attempts ?? 0) + 1;
      if (attempts === 1) { await takes(3000); reply({ noRoom: "full" }); }
      else { ${works} }
    `,
    20_000,
    async (run) => {
      run.pause();
      await new Promise((resolve) => setTimeout(resolve, 3000));
      run.resume();
    },
  );
  expect(found).toMatchObject({ status: "stopped", limit: "deadline" });
  expect(found.usage.calls).toBeLessThan(8);
});

test("a run that waits may be tried often, and each time may take an engine long", async () => {
  // Each takes much less than the time for one; all of them take more than that and the deadline together.
  const slowly = "await takes(400); if (attempts < 8) full(); else { met([], []); reply(END); }";
  expect(await endOfWaiting(slowly, slowly, 1500)).toMatchObject({ status: "exited" });
});

test("agents that have run and live on do not fill the browser", async () => {
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

test("onFull must be wait or fail", async () => {
  await expect(testKernel({ onFull: "perhaps" as "wait" })).rejects.toMatchObject({ code: "invalid-argument" });
});
