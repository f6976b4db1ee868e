/** The page of the test: it records runs, and executes again what another browser recorded. */
import { openBundle } from "../../../src/audit/index.ts";
import { createKernel, type Kernel, type Run } from "../../../src/index.ts";
import { openReplay, type Replay, type ReplayOptions, replayAll } from "../../../src/replay/index.ts";
import { cases, loadProgram } from "../../guests/cases.ts";
import { add, finish, policy, wipe } from "../../setup/kernel.ts";
import { digestState } from "./state.ts";

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** Runs of one guest that no golden result can hold, because the clock decides when the page acts. */
const scenes: Record<string, (kernel: Kernel, program: Uint8Array<ArrayBuffer>) => Promise<unknown>> = {
  /** Files, stdin and environment; each run finds what the one before left. */
  "runs in turn": async (kernel, program) => {
    await using agent = await kernel.spawn({
      name: "busy",
      program,
      seed: 2,
      files: { "inbox.txt": "first", "a/b.bin": "x" },
    });
    await finish(agent.run({ args: ["5"], env: { B: "2", A: "1", "10": "x", "9": "y" }, stdin: "typed é" }));
    await agent.files.write("inbox.txt", "second");
    await agent.files.write("c/d/e.txt", new Uint8Array([0, 255, 128]));
    await agent.files.remove("a/b.bin");
    await agent.files.write("progress.txt/no", "a file is no directory").catch(() => {});
    await finish(agent.run({ args: ["9"], startTime: 1_700_000_000_000 }));
    const controller = new AbortController();
    controller.abort();
    await finish(agent.run({ signal: controller.signal }));
    await finish(agent.run({ args: ["4"] }));
  },
  /** The page writes files while the guest works, waits and sleeps. */
  "files change meanwhile": async (kernel, program) => {
    await using agent = await kernel.spawn({ name: "busy", program, seed: 3 });
    const run = agent.run({ args: ["400"] });
    const done = finish(run);
    let ended = false;
    void run.result.then(() => {
      ended = true;
    });
    for (let n = 0; !ended && n < 300; n++) {
      await agent.files.write("inbox.txt", `message ${n}`);
      if (n % 7 === 3) await agent.files.remove("inbox.txt");
      await sleep(n % 3);
    }
    await done;
    await finish(agent.run({ args: ["3"] }));
  },
  pauses: async (kernel, program) => {
    await using agent = await kernel.spawn({ name: "busy", program, seed: 4 });
    const run = agent.run({ args: ["200"] });
    const done = finish(run);
    for (let n = 0; n < 5; n++) {
      await sleep(5);
      run.pause();
      await agent.files.write("inbox.txt", `while it stands still ${n}`);
      await sleep(5);
      run.resume();
    }
    await done;
  },
  deadline: async (kernel, program) => {
    await using agent = await kernel.spawn({
      name: "busy",
      program,
      seed: 5,
      limits: { deadlineMs: 60, calls: 100_000 },
    });
    await finish(agent.run());
    await finish(agent.run());
  },
};

/** Runs that are stopped at some point, `count` times; the files stay. */
async function stops(kernel: Kernel, program: Uint8Array<ArrayBuffer>, count: number): Promise<void> {
  await using agent = await kernel.spawn({ name: "busy", program, seed: 6, limits: { calls: 100_000 } });
  for (let n = 0; n < count; n++) {
    const run: Run = agent.run();
    const done = finish(run);
    const reader = n % 2 ? undefined : sleep(n % 17);
    await (reader ?? sleep((n * 7) % 23));
    run.stop();
    await done;
  }
}

async function record(guests: string[], stopped: number): Promise<string> {
  const kernel = await createKernel({ policy, tools: [add, wipe], log: { name: crypto.randomUUID() } });
  for (const { guest, spawn, run } of cases) {
    if (!guests.includes(guest)) continue;
    const agent = await kernel.spawn({ name: guest, program: await loadProgram(guest), seed: 1, ...spawn });
    await finish(agent.run(run));
    await agent.close();
  }
  const busy = await loadProgram("busy");
  for (const name of Object.keys(scenes)) if (guests.includes(name)) await scenes[name]!(kernel, busy);
  if (stopped > 0) await stops(kernel, busy, stopped);
  const zip = new Uint8Array(await (await kernel.log.export()).arrayBuffer());
  await kernel.close();
  return toBase64(zip);
}

/** Random programs, one run each; the bundle holds them. */
async function recordPrograms(programs: string[]): Promise<string> {
  const kernel = await createKernel({ policy, tools: [add, wipe], log: { name: crypto.randomUUID() } });
  const bytes = programs.map(fromBase64);
  const limits = { fuel: 3_000_000, calls: 60, memoryBytes: 2 ** 20 };
  for (const [seed, program] of bytes.entries()) {
    const agent = await kernel.spawn({ name: "random", program, seed, limits });
    await finish(agent.run());
    await agent.close();
  }
  const unlike = [...new Map(programs.map((text, i) => [text, bytes[i]!])).values()];
  const zip = new Uint8Array(await (await kernel.log.export({ programs: unlike })).arrayBuffer());
  await kernel.close();
  return toBase64(zip);
}

async function again(zip: string, guests: string[]): Promise<Replay[]> {
  const program = await Promise.all(guests.map(loadProgram));
  const replays: Replay[] = [];
  const options: ReplayOptions = { program };
  for await (const one of replayAll(await openBundle(fromBase64(zip)), options)) replays.push(one);
  return replays;
}

/** The state of a run before a call is answered, in short form; reached from a checkpoint. */
async function look(zip: string, guest: string, run: number, call: number) {
  const replayer = await openReplay(await openBundle(fromBase64(zip)), { program: await loadProgram(guest) });
  await replayer.replay(run);
  const { verdict, state } = await replayer.replay(run, { until: { call } });
  const checkpoints = replayer.checkpoints(run).filter(({ calls }) => calls < call).length;
  return { seen: { verdict, state: state && (await digestState(state)) }, checkpoints };
}

function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(binary);
}

const fromBase64 = (text: string) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

const page = {
  record,
  recordPrograms,
  again,
  look,
  names: [...cases.map(({ guest }) => guest), ...Object.keys(scenes)],
};
export type Page = typeof page;
Object.assign(globalThis, { page });
