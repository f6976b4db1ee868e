/** Workers that an attacker controls, against the kernel. */
import { expect, onTestFinished, test } from "vitest";
import { stockPolicies } from "../../../src/policy/stock.ts";
import { loadGuest } from "../../guests/load.ts";
import { fuzzFactor } from "../../setup/fuzz.ts";
import { hostileWorker } from "../../setup/hostile-worker.ts";
import { effects, entriesOf, finish, stopUnseen, testKernel } from "../../setup/kernel.ts";

async function attack(onRun: string, limits: Record<string, number> = {}) {
  const kernel = await testKernel();
  const agent = await kernel.spawn({
    name: "hostile",
    program: await loadGuest("hello"),
    isolation: "page",
    workerUrl: hostileWorker(onRun),
    // A loaded machine takes seconds to deliver a flood.
    limits: { deadlineMs: 60_000, ...limits },
  });
  const finished = await finish(agent.run());
  const end = (await entriesOf(kernel, "run-end"))[0];
  return { kernel, agent, ...finished, end };
}

const violations: [name: string, onRun: string][] = [
  ["a string", `send("hello")`],
  ["null", `send(null)`],
  ["an object of an unknown kind", `send({ vak: "root" })`],
  ["a hello of another protocol version", `send({ vak: "hello", version: 2 })`],
  ["a call without bytes", `send({ vak: "call", run: 1, call: 1, fuel: 1, bytes: "x" })`],
  [
    "a call longer than callBytes",
    `send({ vak: "call", run: 1, call: 1, fuel: 1, bytes: new Uint8Array(2 ** 20 + 1) })`,
  ],
  ["a call with a forged number", `call(7, ADD)`],
  ["a call with a negative number", `call(-1, ADD)`],
  ["a call for another run", `call(1, ADD, 2)`],
  ["two calls at once", `call(1, ADD); call(2, ADD)`],
  ["the same call again", `call(1, ADD); call(1, ADD)`],
  ["output to a third stream", `output("x", 1, 3)`],
  ["output for another run", `output("x", 9)`],
  ["one very large piece of output", `send({ vak: "output", run: 1, fd: 1, bytes: new Uint8Array(2 ** 20) })`],
  [
    "more output than outputBytes",
    `for (let i = 0; i < 300; i++) send({ vak: "output", run: 1, fd: 1, bytes: new Uint8Array(65536) })`,
  ],
  [
    "a proxy of Comlink's",
    `const { port1 } = new MessageChannel(); send({ id: data.id, type: "HANDLER", name: "proxy", value: port1 }, [port1])`,
  ],
  [
    "a handler named after a property of the prototype",
    `send({ id: data.id, type: "HANDLER", name: "constructor", value: {} })`,
  ],
  ["what another run met", `met([], [], 2)`],
  ["a change of files that nobody made", `met([POINT], [])`],
  ["a change of files at an unknown point", `met([{ ...POINT, at: "never" }], [])`],
  ["a clock that goes back", `met([], [5, -1])`],
  ["more readings of the clock than a run may report", `for (let n = 0; n < 99; n++) met([], Array(1024).fill(1))`],
  ["more readings of the clock at once than allowed", `met([], Array(1025).fill(1))`],
  ["more fuel than a guest can use", `send({ vak: "met", run: 1, fuel: 2 ** 53, changes: [], readings: [] })`],
  ["a flood of empty reports", `for (let i = 0; i < 50000; i++) met([], [])`],
  ["that the browser is full, for a guest that has read the clock", `met([], [1]); reply({ noRoom: "full" })`],
  ["an end that is undefined", `reply(undefined)`],
  ["an end with a forged digest", `reply({ ...END, files: "<script>" })`],
  ["an end of an unknown kind", `reply({ ...END, outcome: { status: "won" } })`],
  ["an end with a huge number", `reply({ ...END, memoryBytes: Infinity })`],
  [
    "an end with a limit that only the kernel may name",
    `reply({ ...END, outcome: { status: "stopped", limit: "log-unavailable" } })`,
  ],
  ["a stop that nobody asked for", `reply({ ...END, outcome: { status: "stopped", limit: "asked" } })`],
  ["a flood of replies", `for (let i = 0; i < 50000; i++) send({ id: "x" + i, type: "RAW", value: 1 })`],
  ["a flood of empty output", `for (let i = 0; i < 50000; i++) output("")`],
  ["an uncaught exception", `setTimeout(() => { throw new Error("boo") })`],
  [
    "a rejected call",
    `send({ id: data.id, type: "HANDLER", name: "throw", value: { isError: true, value: { message: "no" } } })`,
  ],
];

test.each(violations)(
  "attack: the worker sends %s: the run fails, the worker is ended, the log says so",
  async (what, onRun) => {
    // A flood is so many messages in a time. No time passes while it arrives, since a busy page may take it slowly.
    const { now } = performance;
    if (what.startsWith("a flood")) {
      const time = performance.now();
      performance.now = () => time;
      onTestFinished(() => {
        performance.now = now;
      });
    }
    const { kernel, agent, result, end } = await attack(onRun);
    await using _kernel = kernel;
    expect(result.status).toBe("failed");
    expect(result.digest).toBeNull();
    expect(end).toMatchObject({ status: "failed", digest: null });
    expect(effects.length).toBeLessThanOrEqual(1);
    expect(() => agent.run()).toThrow(expect.objectContaining({ code: "agent-lost" }));
    await expect(agent.files.list()).rejects.toMatchObject({ code: "agent-lost" });
  },
);

test.each([
  ["answers a call that nobody made", "hello", `reply({ ...END, outcome: { ...END.outcome, value: bytes("1") } })`],
  ["answers what is not JSON", "reactor", `reply({ ...END, outcome: { ...END.outcome, value: bytes("{") } })`],
  ["reports an impossible end", "hello", `reply({ ...END, fuel: -1 })`],
])(
  "attack: the worker %s while its run is being stopped: the run is stopped, the worker lost",
  async (_, guest, end) => {
    await using kernel = await testKernel();
    const agent = await kernel.spawn({
      name: "hostile",
      program: await loadGuest(guest),
      isolation: "page",
      workerUrl: hostileWorker(`output("x"); ${end}`),
    });
    const run = guest === "reactor" ? agent.call("note", "a") : agent.run();
    await run.stdout.getReader().read();
    stopUnseen(run);
    expect(await run.result).toMatchObject({ status: "stopped", limit: "aborted", digest: null });
    await expect(agent.files.list()).rejects.toMatchObject({ code: "agent-lost" });
  },
);

test("everything that an honest worker sent to a busy page, arriving at once, is not a flood", async () => {
  const { kernel, result, stdout } = await attack(`for (let i = 0; i < 12000; i++) output("x"); reply(END)`);
  await using _kernel = kernel;
  expect(result.status).toBe("exited");
  expect(stdout).toBe("x".repeat(12_000));
});

test("attack: the worker goes silent, or closes itself: the deadline ends the run", async () => {
  const ends = async (onRun: string) => {
    const { kernel, result } = await attack(onRun, { deadlineMs: 300 });
    await using _kernel = kernel;
    expect(result).toMatchObject({ status: "stopped", limit: "deadline", digest: null });
  };
  await Promise.all(["", "self.close()"].map(ends));
});

test("attack: the worker makes a call after its run has ended: nothing is done, and the worker is ended", async () => {
  const { kernel, agent, result } = await attack(`reply(END); setTimeout(() => call(1, ADD), 50)`);
  await using _kernel = kernel;
  expect(result.status).toBe("exited");
  const alive = () =>
    agent.files.list().then(
      () => "alive",
      (error) => error.code,
    );
  await expect.poll(alive).toBe("agent-lost");
  expect(effects).toEqual([]);
  expect(await entriesOf(kernel, "intent")).toEqual([]);
});

test("attack: the worker reports what its run met after that run has ended: the worker is ended", async () => {
  for (const late of [`met([], [1])`, `met([], [])`]) {
    const { kernel, agent, end } = await attack(`reply(END); setTimeout(() => ${late}, 50)`);
    await using _kernel = kernel;
    expect(end).toMatchObject({ status: "exited", untraced: null });
    const alive = () =>
      agent.files.list().then(
        () => "alive",
        (error) => error.code,
      );
    await expect.poll(alive).toBe("agent-lost");
  }
});

test("attack: the worker ends its run while a call is under way: the outcome is in the log before the end", async () => {
  const { kernel, result } = await attack(`call(1, ADD); reply(END)`);
  await using _kernel = kernel;
  expect(result.status).toBe("exited");
  const types = (await entriesOf(kernel)).map(({ type }) => type);
  if (types.includes("intent")) expect(types.indexOf("outcome")).toBeLessThan(types.indexOf("run-end"));
  expect(types.at(-1)).toBe("run-end");
});

test("attack: the worker asks in several ways for what the policy forbids: nothing is done", async () => {
  const { kernel } = await attack(`
    const tries = ['{"tool":"wipe","input":{"path":"/"}}', '{"tool":"add","input":{"a":100,"b":1}}', 'x'];
    for (let n = 0; n < tries.length; n++) {
      call(n + 1, tries[n]);
      await answered();
    }
    reply(END);
  `);
  await using _kernel = kernel;
  expect(effects).toEqual([]);
  expect((await entriesOf(kernel, "denial")).map(({ reason }) => reason)).toEqual([
    "no-permit",
    "no-permit",
    "malformed",
  ]);
});

/** The script of a worker that sends anything at all: honest for a while, or not even at the start. */
const babble = (seed: number) => `
  let state = ${seed};
  const next = (n) => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9 | 0;
    return (state >>> 8) % n;
  };
  const pick = (...list) => list[next(list.length)];
  const odd = () => pick(undefined, null, -1, 1.5, NaN, Infinity, 2 ** 53, "", "x".repeat(5000), "__proto__", [], {},
    new Map([[1, 2]]), new Uint8Array(3), new Date(0), 10n, new Error("x"), { vak: "call" }, new ArrayBuffer(8), /x/);
  const text = () => pick(ADD, '{"tool":"wipe","input":{"path":"/"}}', "{", "", "[".repeat(2000),
    '{"tool":"add","input":{"a":100,"b":1}}');
  let calls = 0;
  const honest = [
    async () => { call(++calls, text()); await answered(); },
    () => output("x".repeat(next(1000)), 1, 1 + next(2)),
    () => new Promise((resolve) => setTimeout(resolve, next(5))),
  ];
  const hostile = [
    () => call(next(5), text()),
    () => call(++calls, text(), next(3)),
    () => output("y", next(3), next(4)),
    () => send({ vak: odd(), run: odd(), call: odd(), bytes: odd() }),
    () => send({ vak: "call", run: 1, call: ++calls, fuel: odd(), bytes: bytes(text()) }),
    () => send({ vak: "output", run: 1, fd: 1, bytes: odd() }),
    () => send({ id: odd(), type: "RAW", value: odd() }),
    () => send({ id: data.id, type: odd(), name: odd(), value: odd() }),
    () => met(pick(odd(), [], [POINT], [odd()]), pick(odd(), [], [1], [odd()]), next(3)),
    () => send(odd()),
    () => { const { port1 } = new MessageChannel(); send({ vak: "call", port1 }, [port1]); },
    () => reply({ ...END, [pick("fuel", "files", "stop", "outcome", "memoryBytes")]: odd() }),
  ];
  for (let n = next(6); n > 0; n--) await pick(...honest)();
  for (let n = next(4); n > 0; n--) await pick(...hostile)();
  reply(END);
`;

test("fuzz: a worker sends random messages: its run settles, and nothing is done that the policy forbids", async () => {
  const ends: Record<string, number> = {};
  const sequences = 8 * fuzzFactor;
  for (let seed = 1; seed <= sequences; seed++) {
    const { kernel, result, end } = await attack(babble(seed), { deadlineMs: 500 });
    await using _kernel = kernel;
    ends[result.status] = (ends[result.status] ?? 0) + 1;
    expect(end, `seed ${seed}`).toMatchObject({ status: result.status, digest: result.digest });
    expect(
      effects.filter((effect) => effect !== "add 1 2"),
      `seed ${seed}`,
    ).toEqual([]);
    // Every effect has its intent, and every intent its outcome, before the end. An intent has no effect, and its
    // outcome says so, if the run ended while it was being written.
    const [intents, outcomes] = [await entriesOf(kernel, "intent"), await entriesOf(kernel, "outcome")];
    const done = outcomes.filter(({ error }) => error !== "aborted");
    expect([intents.length, done.length], `seed ${seed}`).toEqual([outcomes.length, effects.length]);
  }
  console.log(`${sequences} random sequences of a worker's messages, by how the run ended: ${JSON.stringify(ends)}`);
}, 600_000);

test("attack: the worker claims that it has read nothing, and that it never got the file with the secret", async () => {
  await using kernel = await testKernel({ constitution: stockPolicies });
  const secret = new TextEncoder().encode("the secret");
  await using agent = await kernel.spawn({
    name: "hostile",
    program: await loadGuest("hello"),
    isolation: "page",
    workerUrl: hostileWorker(`
      send({ vak: "call", run: 1, call: 1, fuel: 1, bytes: bytes(ADD), labels: [] });
      await answered();
      call(2, '{"tool":"add","input":{"a":1,"b":2},"labels":[]}');
      await answered();
      call(3, '{"tool":"add","input":{"a":1,"b":2,"labels":[]}}');
      await answered();
      reply(END);
    `),
  });
  const refused = agent.files.write("in.txt", secret, { labels: ["secret"] });
  await expect(refused).rejects.toMatchObject({ code: "invalid-argument" });
  expect(agent.labels).toEqual(["secret"]);
  await finish(agent.run());
  expect(effects).toEqual([]);
  const denials = await entriesOf(kernel, "denial");
  expect(denials.map(({ reason, facts }) => [reason, facts?.labels])).toEqual([
    ["forbidden", ["secret"]],
    ["malformed", undefined],
    ["invalid-input", undefined],
  ]);
});
