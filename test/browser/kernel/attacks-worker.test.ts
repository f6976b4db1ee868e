import { expect, test } from "vitest";
import { stockPolicies } from "../../../src/policies.ts";
import { loadGuest } from "../../guests/load.ts";
import { effects, entriesOf, finish, testKernel } from "../../setup/kernel.ts";

/**
 * A worker whose JavaScript is the attacker's. It speaks the protocol well enough to be given a run, and then does what
 * `onRun` says; `reply` answers the kernel's call, `call` asks for a tool as an honest worker would.
 */
function hostileWorker(onRun: string): string {
  const source = `
    const send = postMessage.bind(self);
    const bytes = (text) => new TextEncoder().encode(text);
    const call = (number, text, run = 1) => send({ vak: "call", run, call: number, fuel: 1, bytes: bytes(text) });
    const output = (text, run = 1, fd = 1) => send({ vak: "output", run, fd, bytes: bytes(text) });
    const ADD = '{"tool":"add","input":{"a":1,"b":2}}';
    const END = {
      outcome: { status: "exited", exitCode: 0 }, fuel: 1, memoryBytes: 0, fileBytes: 0, files: "0".repeat(64), stop: null, changes: [], readings: [],
    };
    let answers;
    /** Waits for the kernel's answer, by shared memory where there is some. */
    const answered = async () => {
      if (!answers) {
        return new Promise((resolve) => addEventListener("message", ({ data }) => data.vak && resolve()));
      }
      const state = new Int32Array(answers, 0, 1);
      Atomics.wait(state, 0, 0);
      state[0] = 0;
    };
    addEventListener("message", async ({ data }) => {
      if (data.vak) return;
      const reply = (value) => send({ id: data.id, type: "RAW", value });
      const method = data.path[0];
      if (method === "compile") {
        const module = await WebAssembly.compile(data.argumentList[0].value);
        return reply({ module, size: 1, start: null, reactor: false, imports: [], machine: "m" });
      }
      if (method === "writeFile") {
        return send({ id: data.id, type: "HANDLER", name: "throw", value: { isError: true, value: { message: "no" } } });
      }
      if (method === "listFiles") return reply([]);
      if (method === "boot") answers = data.argumentList[0].value.answers;
      if (method !== "run") return reply(undefined);
      ${onRun}
    });
    send({ vak: "hello", version: 1 });
  `;
  return URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
}

async function attack(onRun: string, limits: Record<string, number> = {}) {
  const kernel = await testKernel();
  const agent = await kernel.spawn({
    name: "hostile",
    program: await loadGuest("hello"),
    isolation: "page",
    workerUrl: hostileWorker(onRun),
    limits: { deadlineMs: 3000, ...limits },
  });
  const finished = await finish(agent.run());
  const end = (await entriesOf(kernel, "run-end"))[0];
  return { kernel, agent, ...finished, end };
}

const violations: [name: string, onRun: string][] = [
  ["a string", `send("hello")`],
  ["null", `send(null)`],
  ["an object of no kind", `send({ vak: "root" })`],
  ["a second protocol", `send({ vak: "hello", version: 2 })`],
  ["a call without bytes", `send({ vak: "call", run: 1, call: 1, fuel: 1, bytes: "x" })`],
  [
    "a call longer than callBytes",
    `send({ vak: "call", run: 1, call: 1, fuel: 1, bytes: new Uint8Array(2 ** 20 + 1) })`,
  ],
  ["a call with a forged number", `call(7, ADD)`],
  ["a call with a negative number", `call(-1, ADD)`],
  ["a call of another run", `call(1, ADD, 2)`],
  ["two calls at once", `call(1, ADD); call(2, ADD)`],
  ["the same call again", `call(1, ADD); call(1, ADD)`],
  ["output to a third stream", `output("x", 1, 3)`],
  ["output of another run", `output("x", 9)`],
  ["one very large piece of output", `send({ vak: "output", run: 1, fd: 1, bytes: new Uint8Array(2 ** 20) })`],
  [
    "more output than outputBytes",
    `for (let i = 0; i < 300; i++) send({ vak: "output", run: 1, fd: 1, bytes: new Uint8Array(65536) })`,
  ],
  [
    "a proxy of Comlink's",
    `const { port1 } = new MessageChannel(); send({ id: data.id, type: "HANDLER", name: "proxy", value: port1 }, [port1])`,
  ],
  ["a handler of the prototype's", `send({ id: data.id, type: "HANDLER", name: "constructor", value: {} })`],
  ["an end that is nothing", `reply(undefined)`],
  ["an end with a forged digest", `reply({ ...END, files: "<script>" })`],
  ["an end of no kind", `reply({ ...END, outcome: { status: "won" } })`],
  ["an end with a huge number", `reply({ ...END, memoryBytes: Infinity })`],
  [
    "an end with a limit that is not its own",
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
  "attack: the worker sends %s: the run fails, the worker is gone, the log says so",
  async (_, onRun) => {
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

test("what an honest worker says while the page is busy for long, all of it at once, is no flood", async () => {
  const { kernel, result, stdout } = await attack(`for (let i = 0; i < 12000; i++) output("x"); reply(END)`);
  await using _kernel = kernel;
  expect(result.status).toBe("exited");
  expect(stdout).toBe("x".repeat(12_000));
});

test("attack: the worker goes silent, or closes itself: the deadline ends the run", async () => {
  for (const onRun of ["", "self.close()"]) {
    const { kernel, result } = await attack(onRun, { deadlineMs: 300 });
    await using _kernel = kernel;
    expect(result).toMatchObject({ status: "stopped", limit: "deadline", digest: null });
  }
});

test("attack: the worker calls after its run has ended: nothing is done, and it is ended", async () => {
  const { kernel, agent, result } = await attack(`reply(END); setTimeout(() => call(1, ADD), 50)`);
  await using _kernel = kernel;
  expect(result.status).toBe("exited");
  const alive = () =>
    agent.files.list().then(
      () => "alive",
      (error) => error.code,
    );
  await expect.poll(alive, { timeout: 30_000 }).toBe("agent-lost");
  expect(effects).toEqual([]);
  expect(await entriesOf(kernel, "intent")).toEqual([]);
});

test("attack: the worker ends its run while a call is under way: the outcome is in the log before the end", async () => {
  const { kernel, result } = await attack(`call(1, ADD); reply(END)`);
  await using _kernel = kernel;
  expect(result.status).toBe("exited");
  const types = (await entriesOf(kernel)).map(({ type }) => type);
  if (types.includes("intent")) expect(types.indexOf("outcome")).toBeLessThan(types.indexOf("run-end"));
  expect(types.at(-1)).toBe("run-end");
});

test("attack: the worker asks for what the policy forbids, however it says so: nothing is done", async () => {
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

test("attack: the worker says that it has read nothing, and that the file with the secret never came", async () => {
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
