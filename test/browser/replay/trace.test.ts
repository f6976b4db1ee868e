/** Which runs keep a trace, and what is in it. */
import { expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { defineTool, type Kernel, MiB } from "../../../src/index.ts";
import { replay, replayAll } from "../../../src/replay/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { entriesOf, finish, testKernel } from "../../setup/kernel.ts";

const bundleOf = async (kernel: Kernel, programs: Uint8Array<ArrayBuffer>[] = []) =>
  openBundle(await kernel.log.export({ programs }));
const untraced = async (kernel: Kernel) => (await entriesOf(kernel, "run-end")).map(({ untraced }) => untraced);

test("a trace that is too large is not kept: the log says so for that run and for those after it", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("hello");
  await using agent = await kernel.spawn({ name: "large", program, files: { big: new Uint8Array(13 * MiB) } });
  await finish(agent.run());
  await finish(agent.run());
  const why = "the files that the page wrote are larger than a trace may be";
  expect(await untraced(kernel)).toEqual([why, why]);

  await using other = await kernel.spawn({ name: "typed", program });
  await finish(other.run({ stdin: new Uint8Array(13 * MiB) }));
  await finish(other.run());
  const stdin = "stdin and the environment are larger than a trace may be";
  expect((await untraced(kernel)).slice(2)).toEqual([stdin, `an earlier run of the agent has no trace: ${stdin}`]);
  const starts = await entriesOf(kernel, "run-start");
  expect(starts.map(({ inputDigest }) => inputDigest)).toEqual([null, null, null, null]);

  const bundle = await bundleOf(kernel);
  expect(await verify(bundle)).toMatchObject({ ok: true, missing: [] });
  const refused = { code: "not-found", message: expect.stringContaining(why) };
  await expect(replay(bundle, 1, { program })).rejects.toMatchObject(refused);
});

test("a page may turn the trace off: then neither stdin nor environment nor files are kept", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("args");
  await using agent = await kernel.spawn({ name: "quiet", program, files: { secret: "s3cr3t" } });
  await finish(agent.run({ env: { KEY: "s3cr3t" }, stdin: "s3cr3t", trace: false }));
  await finish(agent.run());
  const why = "the page asked for no trace";
  expect(await untraced(kernel)).toEqual([why, `an earlier run of the agent has no trace: ${why}`]);
  const bundle = await bundleOf(kernel);
  expect([...(await bundle.paths())].filter((path) => path.startsWith("values/"))).toEqual([]);
  expect(() => agent.run({ trace: "no" as never })).toThrow(expect.objectContaining({ code: "invalid-argument" }));
});

test("a run that never began does not prevent a replay, and a stopped run is the same when re-executed", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("busy");
  await using agent = await kernel.spawn({ name: "busy", program, seed: 1, limits: { calls: 10_000 } });
  await finish(agent.run({ signal: AbortSignal.abort() }));
  for (const chunks of [1, 3, 6]) {
    const run = agent.run();
    const reader = run.stdout.getReader();
    for (let i = 0; i < chunks; i++) await reader.read();
    run.stop();
    expect(await run.result).toMatchObject({ status: "stopped", limit: "aborted", digest: expect.any(String) });
  }
  await finish(agent.run({ args: ["3"] }));
  const replays = [];
  for await (const one of replayAll(await bundleOf(kernel, [program]))) replays.push(one);
  expect(replays).toHaveLength(5);
  for (const { verdict, divergence, missing } of replays) {
    expect({ verdict, divergence, missing }).toEqual({ verdict: "same", divergence: null, missing: null });
  }
});

test("after an erasure the log verifies; without its trace a run cannot be replayed, without an answer it ends at that call", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("agent");
  await using agent = await kernel.spawn({ name: "job", program, files: { "in.txt": "some input" } });
  await finish(agent.run());
  const [outcome] = await entriesOf(kernel, "outcome");
  const [end] = await entriesOf(kernel, "run-end");
  expect(await replay(await bundleOf(kernel, [program]), 1)).toMatchObject({ verdict: "same", calls: 2 });
  await kernel.log.erase(outcome!.seq);
  expect(await replay(await bundleOf(kernel, [program]), 1)).toMatchObject({
    verdict: "incomplete",
    missing: "the answer to call 1 is not in the bundle",
  });
  await kernel.log.erase(end!.seq);
  const bundle = await bundleOf(kernel, [program]);
  expect(await verify(bundle)).toMatchObject({ ok: true, erased: [outcome!.seq, end!.seq] });
  await expect(replay(bundle, 1)).rejects.toMatchObject({ code: "not-found" });
});

test("an answer is kept once, in canonical form, independent of the order in which the tool gave it", async () => {
  const odd = defineTool({
    name: "add",
    description: "Answers with fields out of order.",
    inputSchema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } },
    execute: () => ({ b: 1, a: [{ z: null, "10": 1, "9": 2 }] }),
  });
  await using kernel = await testKernel({ tools: [odd], policy: "permit (principal, action, resource);" });
  const program = await loadGuest("call");
  await using agent = await kernel.spawn({ name: "call", program });
  const { stdout } = await finish(agent.run());
  expect(stdout).toBe('{"ok":{"a":[{"10":1,"9":2,"z":null}],"b":1}}\n');
  const bundle = await bundleOf(kernel, [program]);
  expect(await replay(bundle, 1)).toMatchObject({ verdict: "same", calls: 1 });
  const [end] = await entriesOf(kernel, "run-end");
  expect(JSON.stringify(await kernel.log.value(end!.seq))).not.toContain('\\"ok\\"');
});

test("only an agent's program can be put into a bundle", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("hello");
  await using agent = await kernel.spawn({ name: "hello", program });
  await finish(agent.run());
  const other = await loadGuest("call");
  await expect(kernel.log.export({ programs: [other] })).rejects.toMatchObject({ code: "invalid-argument" });
  const bundle = await openBundle(await kernel.log.export({ programs: [program] }));
  expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
  expect(await replay(bundle, 1)).toMatchObject({ verdict: "same" });
});
