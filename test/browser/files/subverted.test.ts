/** Attacks on mounts by a worker whose JavaScript is the attacker's. */
import { expect, test } from "vitest";
import { createKernel } from "../../../src/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { engine } from "../../setup/engine.ts";
import { hostileWorker } from "../../setup/hostile-worker.ts";
import { effects, entriesOf, finish, testKernel } from "../../setup/kernel.ts";
import { contents, directory, write } from "../../setup/shell.ts";

const inDirectory = test.skipIf(engine === "webkit");

/** A worker that reports `tree` for each directory, and `file` for each file. */
const reporting = (tree: string, file = "new Uint8Array(1)"): string =>
  hostileWorker(
    "reply(END);",
    `
      const entry = (path, more) => ({ path, type: "file", size: 1, revision: 1, digest: END.files, ...more });
      if (method === "tree") return reply(${tree});
      if (method === "readFile") return reply(${file});
      if (method === "writeFile") return reply(undefined);
    `,
  );

async function attack(folder: FileSystemDirectoryHandle, worker: string) {
  const kernel = await createKernel({ log: { name: crypto.randomUUID() } });
  const agent = await kernel.spawn({
    name: "hostile",
    program: await loadGuest("hello"),
    isolation: "page",
    workerUrl: worker,
    limits: { fileCount: 100 },
    mounts: { k: { directory: folder, quotaBytes: 1000 } },
  });
  const { result } = await finish(agent.run());
  await agent.close().catch(() => {});
  const written = await entriesOf(kernel, "mount-write");
  await kernel.close();
  return { result, written };
}

const nonsense: [what: string, tree: string][] = [
  ["nothing", "undefined"],
  ["a number", "7"],
  ["a file of an unknown type", `[entry("a", { type: "device" })]`],
  ["a malformed digest", `[entry("a", { digest: "../x" })]`],
  ["a negative size", `[entry("a", { size: -1 })]`],
  ["more files than fileCount", `Array.from({ length: 101 }, (_, i) => entry("f" + i))`],
  ["a file larger than the quota", `[entry("a", { size: 1001 })]`],
  ["files larger than the quota together", `[entry("a", { size: 600 }), entry("b", { size: 600 })]`],
  ...["../a", "a/../../b", "..", "/a", "a//b", ".", "a\\0b", "", "x".repeat(300), "d/".repeat(70)].map(
    (path): [string, string] => [
      `the path ${path.slice(0, 9)}`,
      `[entry(${JSON.stringify(path).replace("\\\\0", "\\0")})]`,
    ],
  ),
];

inDirectory.each(nonsense)(
  "attack: the worker reports impossible files: %s. Nothing is written",
  async (_what, tree) => {
    const folder = await directory();
    const inner = await folder.getDirectoryHandle("inner", { create: true });
    await write(folder, "beside", "one");
    const { result, written } = await attack(inner, reporting(tree));
    expect(result.filesError).toMatchObject({ code: "files-unavailable" });
    expect(written).toEqual([]);
    expect(await contents(folder)).toEqual({ beside: "one", "inner/": "" });
  },
);

inDirectory("attack: the worker reports a small size, then gives a large file. It is not written", async () => {
  const folder = await directory();
  const tree = `[entry("a"), entry("b")]`;
  const { result, written } = await attack(folder, reporting(tree, "new Uint8Array(501)"));
  expect(result.filesError).toMatchObject({ code: "files-unavailable" });
  expect(written).toEqual([]);
  expect(await contents(folder)).toEqual({});
});

inDirectory(
  "attack: the worker reports digests that are not those of its files. The log has the true ones",
  async () => {
    const folder = await directory();
    const { result, written } = await attack(folder, reporting(`[entry("a")]`, `new Uint8Array([120])`));
    expect(result.filesError).toBeUndefined();
    expect(await contents(folder)).toEqual({ a: "x" });
    await using kernel = await createKernel({ log: { name: crypto.randomUUID() } });
    await using honest = await kernel.spawn({ name: "a", program: await loadGuest("hello"), files: { a: "x" } });
    expect(written[0]!.digest).toBe(await honest.files.snapshot());
  },
);

inDirectory("attack: the worker makes a call while its mounts are read. It is ended, and nothing is done", async () => {
  await using kernel = await testKernel();
  const folder = await directory();
  await using agent = await kernel.spawn({
    name: "hostile",
    program: await loadGuest("hello"),
    isolation: "page",
    workerUrl: hostileWorker("reply(END);", 'if (method === "tree") return call(1, ADD);'),
    limits: { deadlineMs: 60_000 },
    mounts: { k: { directory: folder } },
  });
  await write(folder, "a", "new since the spawn");
  const { result } = await finish(agent.run());
  expect(result).toMatchObject({ status: "stopped", limit: "files-unavailable" });
  expect(() => agent.run()).toThrow(
    expect.objectContaining({ code: "agent-lost", message: expect.stringContaining("a message out of turn") }),
  );
  expect(effects).toEqual([]);
  expect(await entriesOf(kernel, "intent")).toEqual([]);
});
