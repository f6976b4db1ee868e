/** Watching an agent's files. */
import { expect, test } from "vitest";
import { defineTool, type FileChange } from "../../../src/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { finish, testKernel } from "../../setup/kernel.ts";
import { shellOutput } from "../../setup/shell.ts";

/** The next changes, as `path change`. */
async function next(changes: AsyncGenerator<FileChange, void>, count: number): Promise<string[]> {
  const seen: string[] = [];
  while (seen.length < count) {
    const { value, done } = await changes.next();
    if (done) break;
    seen.push(`${value.path} ${value.change}`);
  }
  return seen;
}

test("changes by the page and the program, in mounts too, are reported from the call of watch() on", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "shell",
    program: await loadGuest("shell"),
    files: { before: "x", gone: "x" },
    mounts: { m: { files: { a: "one" } } },
  });
  const changes = agent.files.watch();
  await agent.files.write("before", "y");
  await agent.files.write("d/new", "z");
  expect(await next(changes, 3)).toEqual(["before changed", "d created", "d/new created"]);
  await shellOutput(agent, "rm /gone", "put /m/a two", "put /m/b three", "mv /before /after", "cat /d/new");
  expect((await next(changes, 5)).sort()).toEqual([
    ...["after created", "before removed", "gone removed", "m/a changed", "m/b created"],
  ]);
  await agent.files.remove("after");
  await agent.close();
  expect(await next(changes, 9)).toEqual([]);
});

test("changes by a run that has not ended are reported where the page can read them", async () => {
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
  const wait = defineTool({
    name: "wait",
    description: "Waits for the page.",
    inputSchema: { type: "object" },
    execute: async () => {
      ask();
      await answered;
      return null;
    },
  });
  await using kernel = await testKernel({ policy: "permit (principal, action, resource);", tools: [wait] });
  await using agent = await kernel.spawn({ name: "shell", program: await loadGuest("shell") });
  const changes = agent.files.watch();
  const run = agent.run({ stdin: 'put /early 1\ncall {"tool":"wait"}\nput /late 2\n' });
  await asked;
  // With shared memory, the worker answers only once the run has ended.
  if (!("Suspending" in WebAssembly)) answer();
  expect(await next(changes, 1)).toEqual(["early created"]);
  answer();
  await finish(run);
  expect(await next(changes, 1)).toEqual(["late created"]);
  await changes.return();
});

test("a slow reader gets what differs in the end, not each change; a signal ends the watching at once", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
  const stop = new AbortController();
  const changes = agent.files.watch({ signal: stop.signal });
  for (let i = 0; i < 300; i++) await agent.files.write("a", `${i}`);
  await agent.files.write("b", "came");
  await agent.files.remove("b");
  await agent.files.write("c", "stayed");
  expect(await next(changes, 2)).toEqual(["a created", "c created"]);
  const waiting = changes.next();
  stop.abort();
  expect(await waiting).toEqual({ value: undefined, done: true });
  expect(await next(agent.files.watch({ signal: AbortSignal.abort() }), 1)).toEqual([]);
});

test("several watchers are independent; each learns that the agent was lost", async () => {
  await using kernel = await testKernel();
  const agent = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
  const [one, other] = [agent.files.watch(), agent.files.watch()];
  await agent.files.write("a", "1");
  expect(await next(one, 1)).toEqual(["a created"]);
  await agent.files.write("b", "2");
  expect(await next(other, 2)).toEqual(["a created", "b created"]);
  await one.return();
  const waiting = other.next();
  agent.lose("the test ends it");
  await expect(waiting).rejects.toMatchObject({ code: "agent-lost" });
});
