/** Reactors: programs whose functions the page calls. */
import { expect, test } from "vitest";
import { openBundle } from "../../../src/audit/index.ts";
import type { SpawnOptions } from "../../../src/index.ts";
import { replayAll } from "../../../src/replay/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { effects, entriesOf, finish, testKernel } from "../../setup/kernel.ts";

async function reactor(options: Partial<SpawnOptions> = {}) {
  const kernel = await testKernel();
  const agent = await kernel.spawn({ name: "reactor", program: await loadGuest("reactor"), seed: 1, ...options });
  return { kernel, agent };
}

test("a function takes and returns JSON; the instance is kept, and initialised once", async () => {
  const { kernel, agent } = await reactor();
  const input = { text: "grüße 世界", numbers: [1, 2.5, -3], nested: { nothing: null } };
  expect(await agent.call("execute", input).result).toMatchObject({ status: "exited", exitCode: 0, value: input });
  for (const value of [42, 43, 44]) {
    expect(await agent.call("count", null).result).toMatchObject({ status: "exited", value });
  }
  await kernel.close();
});

test("each call is a run, with limits, output, files, tools and log entries of its own", async () => {
  const { kernel, agent } = await reactor();
  const first = await finish(agent.call("note", "a"));
  expect(first).toMatchObject({ stdout: "noted 3 bytes\n", result: { status: "exited", value: true } });
  const second = await finish(agent.call("note", "bc"));
  expect(second).toMatchObject({ stdout: "noted 4 bytes\n", result: { usage: { outputBytes: 14, calls: 0 } } });
  expect(await agent.files.text("notes.txt")).toBe('"a""bc"');
  const asked = await agent.call("ask", { tool: "add", input: { a: 1, b: 2 } }).result;
  expect(asked).toMatchObject({ status: "exited", value: { ok: 3 }, usage: { calls: 1 } });
  expect(effects).toEqual(["add 1 2"]);
  expect((await entriesOf(kernel, "run-start")).map(({ args }) => args)).toEqual([["note"], ["note"], ["ask"]]);
  const ends = await entriesOf(kernel, "run-end");
  expect(ends.map(({ status, digest }) => [status, digest])).toEqual([
    ["exited", first.result.digest],
    ["exited", second.result.digest],
    ["exited", asked.digest],
  ]);
  await kernel.close();
});

test("the same calls give the same digests and fuel; another answer gives another digest", async () => {
  const calls: [string, unknown][] = [
    ["count", 0],
    ["execute", { a: 1 }],
    ["execute", { a: 2 }],
  ];
  const seen = [];
  for (let i = 0; i < 2; i++) {
    const { kernel, agent } = await reactor();
    const results = [];
    for (const [name, input] of calls) results.push(await agent.call(name, input).result);
    seen.push(results.map(({ digest, usage }) => [digest, usage.fuel]));
    await kernel.close();
  }
  expect(seen[0]).toEqual(seen[1]);
  expect(new Set(seen[0]!.map(([digest]) => digest)).size).toBe(3);
});

const broken: [name: string, trap: string][] = [
  ["outside", "abi"],
  ["nothing", "abi"],
  ["endless_answer", "abi"],
  ["no_json", "abi"],
  ["no_text", "abi"],
  ["long_parameters", "abi"],
  ["one_parameter", "abi"],
  ["memory", "abi"],
  ["nowhere", "abi"],
  ["constructor", "abi"],
  ["vak:fuel", "abi"],
  ["trap", "unreachable"],
];

test("attack: functions that break the convention, and names that are not functions: a trap, and the agent lives on", async () => {
  const { kernel, agent } = await reactor();
  for (const [name, trap] of broken) {
    expect(await agent.call(name, "input").result, name).toMatchObject({ status: "trapped", trap });
  }
  expect(await agent.call("leave", "123").result).toMatchObject({ status: "exited", exitCode: 5 });
  // The instance is a new one, because a call did not return.
  expect(await agent.call("count", 0).result).toMatchObject({ status: "exited", value: 42 });
  await kernel.close();
});

test("each call has its own fuel, and what is left of it is not added to the next", async () => {
  const { kernel, agent } = await reactor({ limits: { fuel: 1_000_000 } });
  const used: (number | null)[] = [];
  for (let i = 0; i < 4; i++) used.push((await agent.call("count", 0).result).usage.fuel);
  expect(new Set(used.slice(1)).size).toBe(1);
  const spun = await agent.call("spin", 0).result;
  expect(spun).toMatchObject({ status: "stopped", limit: "fuel", usage: { fuel: 1_000_000 } });
  expect(await agent.call("count", 0).result).toMatchObject({ value: 42, usage: { fuel: used[0] } });
  await kernel.close();
});

test("a call can be stopped, and the agent called again", async () => {
  const { kernel, agent } = await reactor();
  const call = agent.call("spin", 0);
  expect(() => agent.call("count", 0)).toThrow(expect.objectContaining({ code: "agent-busy" }));
  call.stop();
  expect(await call.result).toMatchObject({ status: "stopped", limit: "aborted" });
  expect(await agent.call("count", 0).result).toMatchObject({ value: 42 });
  await kernel.close();
});

test("input that is not JSON or too long is refused, and so are agent.run of a reactor and agent.call of a command", async () => {
  const { kernel, agent } = await reactor({ limits: { callBytes: 64 } });
  const ring: { ring?: unknown } = {};
  ring.ring = ring;
  for (const input of [undefined, () => 1, 1n, ring, "x".repeat(63)]) {
    expect(() => agent.call("execute", input)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  }
  expect(await agent.call("execute", "x".repeat(62)).result).toMatchObject({ value: "x".repeat(62) });
  expect(() => agent.run()).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  await using command = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
  expect(() => command.call("execute", 1)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  await kernel.close();
});

test("calls are replayed in order, over the same instance and files, including those that fail or are stopped", async () => {
  const program = await loadGuest("reactor");
  const files = { "a/b": "text", empty: { type: "directory" }, link: { type: "symlink", target: "a/b" } } as const;
  const { kernel, agent } = await reactor({ files, limits: { fuel: 50_000_000 } });
  const calls: [name: string, input: unknown][] = [
    ["count", 0],
    ["execute", { deep: [1, { x: "grüße" }] }],
    ["ask", { tool: "add", input: { a: 1, b: 2 } }],
    ["note", "a"],
    ["count", 0],
    ["no_json", 0],
    ["count", 0],
    ["trap", 0],
    ["note", "b"],
    ["spin", 0],
    ["leave", 0],
    ["count", 0],
  ];
  for (const [name, input] of calls) await agent.call(name, input).result;
  const stopped = agent.call("spin", 0);
  setTimeout(() => stopped.stop(), 20);
  await stopped.result;
  await agent.call("count", 0).result;
  const bundle = await openBundle(await kernel.log.export({ programs: [program] }));
  const replays = [];
  for await (const { verdict, divergence, missing } of replayAll(bundle))
    replays.push({ verdict, divergence, missing });
  expect(replays).toEqual(Array(calls.length + 2).fill({ verdict: "same", divergence: null, missing: null }));
  await kernel.close();
});
