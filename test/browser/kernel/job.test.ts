/** Whole jobs in a browser: programs in several languages, governed and logged. */
import { expect, test } from "vitest";
import { pythonModule } from "../../../src/runtimes/python.ts";
import pythonJob from "../../guests/job.py?raw";
import { loadGuest, loadPython } from "../../guests/load.ts";
import { effects, entriesOf, finish, testKernel } from "../../setup/kernel.ts";

test("a WAT guest prints and exits", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
  const { result, stdout, stderr } = await finish(agent.run());
  expect(result).toMatchObject({ status: "exited", exitCode: 0, usage: { outputBytes: 6, calls: 0 } });
  expect(stdout).toBe("hello\n");
  expect(stderr).toBe("");
});

test("a C guest uses files, an allowed tool and a denied one through the vak imports", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "job",
    program: await loadGuest("agent"),
    files: { "in.txt": "some input" },
    seed: 1,
  });
  const { result, stdout } = await finish(agent.run());
  expect(stdout).toBe('read 10 bytes\nadd: {"ok":3}\nwipe: denied\ndone\n');
  expect(result).toMatchObject({ status: "exited", exitCode: 0 });
  expect(result.usage.calls).toBe(2);
  expect(await agent.files.text("out/result.txt")).toBe('some input\nadd: {"ok":3}\nwipe: denied\n');
  expect(effects).toEqual(["add 1 2"]);
});

test("CPython does the same through /dev/vak, compiled once for all its agents", async () => {
  await using kernel = await testKernel();
  const program = await loadPython();
  const files = { "vak.py": pythonModule, "main.py": pythonJob, "in.json": '{ "a": 40, "b": 2 }' };
  for (const name of ["first", "second"]) {
    await using agent = await kernel.spawn({ name, program, files, seed: 7 });
    const { result, stdout, stderr } = await finish(agent.run({ args: ["-u", "/main.py"] }));
    expect(stderr).toBe("");
    expect(stdout).toContain("add: 42");
    expect(stdout).toContain("wipe: denied");
    expect(result).toMatchObject({ status: "exited", exitCode: 0 });
    expect(JSON.parse(await agent.files.text("result.json"))).toEqual({ total: 42 });
  }
  expect(effects).toEqual(["add 40 2", "add 40 2"]);
});

test("the log has everything that happened, in order", async () => {
  await using kernel = await testKernel();
  const agent = await kernel.spawn({
    name: "job",
    program: await loadGuest("agent"),
    files: { "in.txt": "x" },
    limits: { deadlineMs: 60_000 },
    seed: 42,
  });
  const run = agent.run({ args: ["an argument"], env: { LANG: "C" }, stdin: "typed" });
  const { result } = await finish(run);
  await agent.close();

  const all = await entriesOf(kernel);
  expect(all.map(({ seq }) => seq)).toEqual(all.map((_, i) => i));
  // On a slow machine the trace is stored in parts.
  const entries = all.filter(({ type }) => type !== "trace");
  expect(entries.map(({ type }) => type)).toEqual([
    "log-open",
    "policy-load",
    "agent-spawn",
    "run-start",
    "intent",
    "outcome",
    "denial",
    "run-end",
    "agent-close",
  ]);
  const [, load, spawn, start, intent, outcome, denial, end] = entries;
  const who = { name: "job", id: agent.id, program: agent.program };
  expect(spawn).toMatchObject({ agent: who, seed: 42, isolation: "opaque", limits: { deadlineMs: 60_000 } });
  expect(start).toMatchObject({ agent: who, run: run.id, args: ["an argument"], env: ["LANG"] });
  expect(intent).toMatchObject({ action: "call:add", decision: "allow", policies: ["small-sums"] });
  expect(intent).toMatchObject({ policyDigest: (load as { policyDigest: string }).policyDigest });
  expect(outcome).toMatchObject({ intentOf: intent!.seq, status: "ok" });
  expect(denial).toMatchObject({ action: "call:wipe", decision: "deny", reason: "no-permit", policies: [] });
  expect(end).toMatchObject({ status: "exited", exitCode: 0, digest: result.digest });
});

test("stdout reaches the page while the program is still running", async () => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<number>();
  const { defineTool } = await import("../../../src/index.ts");
  const slow = defineTool({
    name: "add",
    description: "Adds when the test lets it.",
    inputSchema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } },
    execute: () => {
      asked.resolve();
      return answer.promise;
    },
  });
  await using kernel = await testKernel({ tools: [slow], policy: "permit (principal, action, resource);" });
  await using agent = await kernel.spawn({
    name: "job",
    program: await loadGuest("agent"),
    files: { "in.txt": "some input" },
  });
  const run = agent.run();
  const reader = run.stdout.getReader();
  const first = await reader.read();
  expect(new TextDecoder().decode(first.value)).toBe("read 10 bytes\n");
  await asked.promise;
  answer.resolve(3);
  expect(await run.result).toMatchObject({ status: "exited" });
});

test("arguments, environment and stdin arrive as given, in any script", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "args", program: await loadGuest("args") });
  const { result, stdout } = await finish(
    agent.run({ args: ["é", "日本 語", ""], env: { GREETING: "grüß dich", EMPTY: "" }, stdin: "line ☃\n" }),
  );
  expect(result).toMatchObject({ status: "exited", exitCode: 0 });
  for (const piece of ["é", "日本 語", "GREETING=grüß dich", "EMPTY=", "line ☃"]) expect(stdout).toContain(piece);
});

test("the same run gives the same bytes; another seed gives other random bytes", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("random");
  const outputs: string[] = [];
  const digests: (string | null)[] = [];
  for (const seed of [5, 5, 6]) {
    await using agent = await kernel.spawn({ name: "random", program, seed });
    const { result, stdout } = await finish(agent.run());
    outputs.push(stdout);
    digests.push(result.digest);
  }
  expect(outputs[0]).toBe(outputs[1]);
  expect(digests[0]).toBe(digests[1]);
  expect(outputs[2]).not.toBe(outputs[0]);
  expect(digests[2]).not.toBe(digests[0]);
});

test("files persist from run to run, and the page can read, write, list and remove them", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "files", program: await loadGuest("files") });
  const { result, stdout, stderr } = await finish(agent.run());
  expect({ stdout, stderr, result }).toMatchObject({ stderr: "", result: { status: "exited", exitCode: 0 } });
  await agent.files.write("made/by/page.txt", "hello");
  expect(await agent.files.text("made/by/page.txt")).toBe("hello");
  expect(await agent.files.list()).toContainEqual({ path: "made/by/page.txt", type: "file", size: 5 });
  expect(await agent.files.remove("made/by/page.txt")).toBe(true);
  expect(await agent.files.remove("made/by/page.txt")).toBe(false);
  await expect(agent.files.read("made/by/page.txt")).rejects.toMatchObject({ code: "not-found" });
});
