/** Mounts of the page's files, of directories and of other agents' folders, before and after runs. */
import { expect, test } from "vitest";
import { type Kernel, KiB, type Mount } from "../../../src/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { engine } from "../../setup/engine.ts";
import { entriesOf, testKernel } from "../../setup/kernel.ts";
import { contents, directory, expectSame, shellOutput, shellRun, write } from "../../setup/shell.ts";

/** WebKitGTK has no origin private file system, and no other directories (docs/support.md). */
const inDirectory = test.skipIf(engine === "webkit");

/** An agent that runs file commands from its stdin. */
async function shell(
  kernel: Kernel,
  mounts: Record<string, Mount>,
  more: Partial<Parameters<Kernel["spawn"]>[0]> = {},
) {
  return kernel.spawn({ name: "shell", program: await loadGuest("shell"), seed: 1, mounts, ...more });
}

test("in a mount of the page's files, read-only or with a quota, a forbidden change is an errno, and replays the same", async () => {
  await using kernel = await testKernel();
  await using agent = await shell(kernel, {
    "/lib": { files: { "a.txt": "one", "d/b": "two", l: { type: "symlink", target: "d/b" } }, readOnly: true },
    quota: { files: {}, quotaBytes: 5 },
    "deep/down": { files: { x: "deep" } },
  });
  const out = await shellOutput(
    agent,
    "ls /",
    "cat /lib/a.txt",
    "cat /lib/l",
    "put /lib/a.txt no",
    "put /lib/new no",
    "rm /lib/a.txt",
    "mv /lib/a.txt /quota/a",
    "ln /lib/a.txt /quota/a",
    "symlink ../lib/a.txt /quota/l",
    "cat /quota/l",
    "put /quota/l yes",
    "rm /quota/l",
    "put /quota/a 12345",
    "add /quota/a 6",
    "put /b 123456",
    "mv /quota /elsewhere",
    "rmdir /deep",
    "mv /deep /d",
    "cat /deep/down/x",
  );
  expect(out).toEqual([
    "deep dev lib quota",
    "one",
    "two",
    ...["EROFS", "EROFS", "EROFS", "EXDEV", "EXDEV"],
    ...["ENOSPC", "ENOENT", "ok", "ok", "ok", "ENOSPC", "ok", "EBUSY"],
    ...["EBUSY", "EBUSY", "deep"],
  ]);
  await expect(agent.files.write("lib/x", "no")).rejects.toMatchObject({ code: "invalid-argument" });
  await expect(agent.files.remove("lib/a.txt")).rejects.toMatchObject({ code: "invalid-argument" });
  await expect(agent.files.write("quota/b", "1")).rejects.toMatchObject({ code: "invalid-argument" });
  await shellOutput(agent, "ls /quota", "rm /quota/a");
  await agent.files.write("quota/b", "1");
  await shellOutput(agent, "cat /quota/b");
  await expectSame(kernel);
  const [spawned] = await entriesOf(kernel, "agent-spawn");
  const digest = expect.stringMatching(/^[0-9a-f]{64}$/);
  const common = { from: "files", digest };
  expect(spawned!.mounts).toEqual([
    { path: "/deep/down", readOnly: false, quotaBytes: agent.limits.fileBytes, ...common },
    { path: "/lib", readOnly: true, quotaBytes: agent.limits.fileBytes, ...common },
    { path: "/quota", readOnly: false, quotaBytes: 5, ...common },
  ]);
});

inDirectory(
  "a directory is read before a run, logged and then written after it, and not needed for a replay",
  async () => {
    await using kernel = await testKernel();
    const folder = await directory();
    await write(folder, "in/a.txt", "one");
    await folder.getDirectoryHandle("empty", { create: true });
    const agent = await shell(kernel, { data: { directory: folder } });
    expect(await shellOutput(agent, "ls /data", "cat /data/in/a.txt", "put /data/out two", "mkdir /data/d")).toEqual([
      ...["empty in", "one", "ok", "ok"],
    ]);
    expect(await contents(folder)).toEqual({ "in/": "", "in/a.txt": "one", "empty/": "", out: "two", "d/": "" });

    await write(folder, "in/a.txt", "changed");
    await write(folder, "in/b.txt", "new");
    await folder.removeEntry("out");
    expect(await shellOutput(agent, "cat /data/in/a.txt", "cat /data/in/b.txt", "cat /data/out", "ls /data")).toEqual([
      ...["changed", "new", "ENOENT", "d empty in"],
    ]);
    expect(await shellOutput(agent, "rm /data/in/a.txt", "mv /data/in /data/moved", "rmdir /data/empty")).toEqual([
      ...["ok", "ok", "ok"],
    ]);
    expect(await contents(folder)).toEqual({ "d/": "", "moved/": "", "moved/b.txt": "new" });

    await agent.files.write("data/page", "by the page");
    await agent.close();
    expect(await contents(folder)).toMatchObject({ page: "by the page" });
    const types = (await entriesOf(kernel)).map(({ type }) => type).filter((type) => /^(mount|run|agent)/.test(type));
    expect(types).toEqual([
      ...["agent-spawn", "run-start", "mount-write", "mount-written", "run-end"],
      ...["run-start", "mount-read", "run-end"],
      ...["run-start", "mount-write", "mount-written", "run-end"],
      ...["mount-write", "mount-written", "agent-close"],
    ]);
    const writes = await entriesOf(kernel, "mount-write");
    expect(writes.map(({ mount, written, removed }) => [mount, written, removed])).toEqual([
      ["/data", 2, 0],
      ["/data", 2, 4],
      ["/data", 1, 0],
    ]);
    const [read] = await entriesOf(kernel, "mount-read");
    expect(read!.digest).not.toBe(writes[0]!.digest);
    expect(read!.digest).toBe(writes[1]!.previous);
    expect(writes[1]!.digest).toBe(writes[2]!.previous);
    await using other = await kernel.spawn({
      name: "other",
      program: await loadGuest("shell"),
      files: await contents2(),
    });
    expect(await other.files.snapshot()).toBe(writes[2]!.digest);
    await shellOutput(other);
    await expectSame(kernel);

    async function contents2() {
      const found = Object.entries(await contents(folder));
      return Object.fromEntries(
        found.map(([path, text]) => (path.endsWith("/") ? [path.slice(0, -1), DIR] : [path, text])),
      );
    }
  },
);
const DIR = { type: "directory" } as const;

inDirectory("attack: a program changes a read-only directory in every way. The directory stays as it was", async () => {
  await using kernel = await testKernel();
  const folder = await directory();
  await write(folder, "a", "one");
  const agent = await shell(kernel, { data: { directory: folder, readOnly: true } });
  const out = await shellOutput(
    agent,
    "put /data/a x",
    "put /data/b x",
    "rm /data/a",
    "mkdir /data/d",
    "mv /data/a /data/b",
  );
  expect(out).toEqual(Array(5).fill("EROFS"));
  await agent.close();
  expect(await contents(folder)).toEqual({ a: "one" });
  expect(await entriesOf(kernel, "mount-write")).toEqual([]);
});

inDirectory(
  "in a conflict, neither version overwrites the other, the rest is written, and the page can settle it",
  async () => {
    await using kernel = await testKernel();
    const folder = await directory();
    for (const name of ["a", "b", "c"]) await write(folder, name, "old");
    const agent = await shell(kernel, { data: { directory: folder } });
    await agent.files.write("data/a", "the agent's");
    await agent.files.write("data/b", "the agent's");
    await agent.files.remove("data/c");
    await write(folder, "a", "somebody's");
    await write(folder, "c", "somebody's");
    const { out, result } = await shellRun(agent, "cat /data/a", "put /data/new made", "ls /data");
    expect(out).toEqual(["the agent's", "ok", "a b new"]);
    expect(result).toMatchObject({ status: "exited", filesError: { code: "files-conflict" } });
    expect(result.filesError!.message).toMatch(/"a" .*"c"/);
    expect(await contents(folder)).toEqual({ a: "somebody's", b: "the agent's", c: "somebody's", new: "made" });
    await expect(agent.files.save()).rejects.toMatchObject({ code: "files-conflict" });

    await agent.files.write("data/a", "somebody's"); // theirs
    await folder.removeEntry("c"); // mine
    await agent.files.save();
    expect((await shellRun(agent, "cat /data/a", "put /data/a again")).result.filesError).toBeUndefined();
    expect(await contents(folder)).toEqual({ a: "again", b: "the agent's", new: "made" });

    await agent.files.write("data/a", "mine");
    await write(folder, "a", "theirs");
    await expect(agent.close()).rejects.toMatchObject({ code: "files-conflict" });
    expect(await contents(folder)).toMatchObject({ a: "theirs" });
    expect((await entriesOf(kernel)).at(-1)).toMatchObject({ type: "agent-close" });
    await expectSame(kernel);
  },
);

inDirectory("attack: a file is changed between its reading and its writing. It is not overwritten", async () => {
  await using kernel = await testKernel();
  const folder = await directory();
  await write(folder, "a", "old");
  // Somebody else changes the file just before it is opened for writing.
  const get = folder.getFileHandle.bind(folder);
  let armed = false;
  folder.getFileHandle = async (name: string, options?: FileSystemGetFileOptions) => {
    if (armed && name === "a") {
      armed = false;
      await write(await (await navigator.storage.getDirectory()).getDirectoryHandle(folder.name), "a", "theirs, now");
    }
    return get(name, options);
  };
  await using agent = await shell(kernel, { data: { directory: folder } });
  await agent.files.write("data/a", "mine");
  armed = true;
  await expect(agent.files.save()).rejects.toMatchObject({ code: "files-conflict" });
  expect(await contents(folder)).toEqual({ a: "theirs, now" });
  expect(await entriesOf(kernel, "mount-written")).toMatchObject([{ status: "error" }]);
  await agent.files.write("data/a", "theirs, now");
});

inDirectory("names and links that a directory cannot hold are reported, and all else is written", async () => {
  await using kernel = await testKernel();
  const folder = await directory();
  const agent = await shell(kernel, { data: { directory: folder } });
  const { out, result } = await shellRun(
    agent,
    "symlink a /data/l",
    "put /data/a one",
    "ln /data/a /data/b",
    "put /data/.vak-00000000-0000-0000-0000-000000000000.tmp x",
    "put /data/c two",
  );
  expect(out).toEqual(["EPERM", "ok", "EPERM", "ok", "ok"]);
  expect(result.filesError).toMatchObject({ code: "files-unavailable", message: expect.stringContaining(".vak-0000") });
  expect(await contents(folder)).toEqual({ a: "one", c: "two" });
  await agent.files.remove("data/.vak-00000000-0000-0000-0000-000000000000.tmp");
  await agent.close();
});

inDirectory("n bytes and n files of a directory fit; one more is refused, at spawn and before a run", async () => {
  await using kernel = await testKernel();
  const folder = await directory();
  await write(folder, "a", new Uint8Array(KiB));
  const spawn = (quotaBytes: number, fileCount: number) =>
    shell(kernel, { data: { directory: folder, quotaBytes } }, { limits: { fileCount } });
  for (const [quotaBytes, fileCount] of [[KiB - 1, 9] as const, [KiB, 1] as const]) {
    await expect(spawn(quotaBytes, fileCount)).rejects.toMatchObject({
      code: expect.stringMatching(/^(files-unavailable|invalid-argument)$/),
    });
  }
  await using agent = await spawn(KiB, 2);
  expect(await shellOutput(agent, "ls /data")).toEqual(["a"]);
  await write(folder, "b", "");
  await write(folder, "c", "");
  const { result } = await shellRun(agent, "ls /data");
  expect(result).toMatchObject({ status: "stopped", limit: "files-unavailable", digest: null });
  expect(result.filesError).toMatchObject({
    code: "files-unavailable",
    message: expect.stringContaining("fileCount"),
  });
  await folder.removeEntry("b");
  await folder.removeEntry("c");
  expect(await shellOutput(agent, "ls /data")).toEqual(["a"]);
  await expectSame(kernel);
});

inDirectory(
  "a directory that was removed, or is no longer permitted, gives a typed error, and the log has the run",
  async () => {
    await using kernel = await testKernel();
    const folder = await directory();
    await write(folder, "a", "one");
    let state: PermissionState = "granted";
    Object.assign(folder, { queryPermission: async () => state });
    const agent = await shell(kernel, { data: { directory: folder } });
    state = "prompt";
    const { result } = await shellRun(agent, "cat /data/a");
    expect(result).toMatchObject({
      status: "stopped",
      limit: "files-unavailable",
      filesError: { code: "files-denied" },
    });
    await agent.files.write("data/a", "two");
    await expect(agent.files.save()).rejects.toMatchObject({ code: "files-denied" });
    await expect(shell(kernel, { d: { directory: folder } })).rejects.toMatchObject({ code: "files-denied" });
    state = "granted";
    await agent.files.save();
    expect(await contents(folder)).toEqual({ a: "two" });

    const root = await navigator.storage.getDirectory();
    await root.removeEntry(folder.name, { recursive: true });
    expect((await shellRun(agent, "cat /data/a")).result).toMatchObject({ filesError: { code: "files-unavailable" } });
    await agent.close();
    const ends = await entriesOf(kernel, "run-end");
    expect(ends.map(({ status, limit }) => [status, limit])).toEqual(Array(2).fill(["stopped", "files-unavailable"]));
  },
);

inDirectory("attack: mounts of what vak keeps, mounts that overlap, and invalid options. Each is refused", async () => {
  await using kernel = await testKernel();
  const root = await navigator.storage.getDirectory();
  const folder = await directory();
  const below = await folder.getDirectoryHandle("below", { create: true });
  const bad: Record<string, Record<string, unknown>> = {
    "all of the origin's files": { a: { directory: root } },
    "a log's memory": { a: { directory: await root.getDirectoryHandle("vak.log.x", { create: true }) } },
    "one directory twice": { a: { directory: folder }, b: { directory: folder, readOnly: true } },
    "a directory and one below it": { a: { directory: folder, readOnly: true }, b: { directory: below } },
    "mounts in mounts": { a: { files: {} }, "a/b": { files: {} } },
    "a path out of the root": { "../a": { files: {} } },
    "the devices": { dev: { files: {} } },
    "no source": { a: {} },
    "null for a mount": { a: null },
    "one path in two spellings": { a: { files: {} }, "/a": { files: {} } },
    "null for a directory": { a: { directory: null } },
    "two sources": { a: { files: {}, persist: "x" } },
    "an infinite quota": { a: { files: {}, quotaBytes: Number.POSITIVE_INFINITY } },
    "a quota of 0": { a: { files: {}, quotaBytes: 0 } },
    "a string for readOnly": { a: { files: {}, readOnly: "no" } },
    "something else for an agent": { a: { agent: {} } },
    "a name with a path": { a: { persist: "../x" } },
    "seventeen mounts": Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`m${i}`, { files: {} }])),
  };
  for (const [what, mounts] of Object.entries(bad)) {
    const spawned = shell(kernel, mounts as Record<string, Mount>);
    await expect(spawned, what).rejects.toMatchObject({ code: "invalid-argument" });
  }
  const inside = shell(kernel, { a: { files: {} } }, { files: { "a/x": "in a mount" } });
  await expect(inside).rejects.toMatchObject({ code: "invalid-argument" });
  await using both = await shell(kernel, {
    a: { directory: folder, readOnly: true },
    b: { directory: below, readOnly: true },
  });
  expect(await shellOutput(both, "ls /a")).toEqual(["below"]);
});

test("another agent's folder is a read-only copy, logged and renewed before each run; the last copy stays", async () => {
  await using kernel = await testKernel();
  const author = await shell(
    kernel,
    { secret: { files: { key: "s3cr3t" } } },
    { files: { "out/a": "one", own: "own" } },
  );
  await using reader = await shell(kernel, { in: { agent: author, folder: "out" }, all: { agent: author } });
  expect(await shellOutput(reader, "ls /in", "cat /in/a", "put /in/a x", "ls /all", "cat /all/secret/key")).toEqual([
    ...["a", "one", "EROFS", "out own", "ENOENT"],
  ]);
  await shellOutput(author, "put /out/a two", "put /out/b three", "symlink ../own /out/up", "symlink a /out/l");
  const before = (await entriesOf(kernel, "mount-read")).length;
  expect(await shellOutput(reader, "cat /in/a", "cat /in/b", "cat /in/up", "cat /in/l")).toEqual([
    ...["two", "three", "ENOTCAPABLE", "two"],
  ]);
  expect((await entriesOf(kernel, "mount-read")).slice(before)).toMatchObject([{ mount: "/all" }, { mount: "/in" }]);
  await shellOutput(reader, "ls /in");
  expect(await entriesOf(kernel, "mount-read")).toHaveLength(before + 2);
  await author.close();
  expect(await shellOutput(reader, "cat /in/b")).toEqual(["three"]);
  const late = shell(kernel, { in: { agent: author } });
  await expect(late).rejects.toMatchObject({ code: "invalid-argument" });
  const spawned = await entriesOf(kernel, "agent-spawn");
  expect(spawned[1]!.mounts).toMatchObject([
    { path: "/all", from: "agent", name: author.id, readOnly: true },
    { path: "/in", from: "agent", name: author.id, readOnly: true },
  ]);
  await expectSame(kernel);
});

inDirectory(
  "attack: another agent plants links in its folder, to make a reader read or write its own files. They lead nowhere else",
  async () => {
    await using kernel = await testKernel();
    await using author = await shell(kernel, {});
    const planted = ["symlink ../private /out/a", "symlink ../../private /out/b", "symlink ../data/x /out/c"];
    await shellOutput(author, "mkdir /out", ...planted, "symlink . /out/here");
    const folder = await directory();
    await write(folder, "x", "one");
    await using reader = await shell(
      kernel,
      { in: { agent: author, folder: "out" }, data: { directory: folder } },
      { files: { private: "mine" } },
    );
    const tried = ["a", "b", "c", "here/a", "here/here/c"].flatMap((path) => [`cat /in/${path}`, `put /in/${path} x`]);
    for (const said of await shellOutput(reader, ...tried)) expect(["ENOTCAPABLE", "EROFS"]).toContain(said);
    expect(await reader.files.text("private")).toBe("mine");
    expect(await contents(folder)).toEqual({ x: "one" });
  },
);

inDirectory("a revoked agent no longer writes to its mounts", async () => {
  await using kernel = await testKernel();
  const folder = await directory();
  const agent = await shell(kernel, { data: { directory: folder } });
  await agent.revoke();
  const { out, result } = await shellRun(agent, "put /data/a x");
  expect(out).toEqual(["ok"]);
  expect(result.filesError).toMatchObject({ code: "files-denied" });
  await expect(agent.close()).rejects.toMatchObject({ code: "files-denied" });
  expect(await contents(folder)).toEqual({});
});

inDirectory("attack: the log fails. The agent's changes are not written", async () => {
  const kernel = await testKernel();
  const folder = await directory();
  const agent = await shell(kernel, { data: { directory: folder } });
  const { put } = IDBObjectStore.prototype;
  IDBObjectStore.prototype.put = () => {
    throw new DOMException("no", "QuotaExceededError");
  };
  try {
    await agent.files.write("data/a", "x");
    await expect(agent.files.save()).rejects.toMatchObject({ code: "log-unavailable" });
  } finally {
    IDBObjectStore.prototype.put = put;
  }
  await expect(kernel.close()).rejects.toMatchObject({ code: "log-unavailable" });
  expect(await contents(folder)).toEqual({});
});

test("saving during a run is refused", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "spin",
    program: await loadGuest("spin"),
    mounts: { p: { files: {} } },
  });
  const run = agent.run();
  await expect(agent.files.save()).rejects.toMatchObject({ code: "agent-busy" });
  run.stop();
  await run.result;
});

test("attack: labels are laundered by a folder that is shared. Whoever reads what another agent wrote gets its labels", async () => {
  await using kernel = await testKernel();
  await using author = await shell(kernel, {}, { labels: ["secret"], files: { "out/a": "one" } });
  await using reader = await shell(kernel, {
    in: { agent: author, folder: "out" },
    web: { files: { page: "hi" }, labels: ["untrusted"] },
  });
  expect(reader.labels).toEqual(["secret", "untrusted"]);
  await author.files.write("elsewhere", "x", { labels: ["medical"] });
  await shellOutput(reader, "ls /in");
  expect(reader.labels).toEqual(["secret", "untrusted"]); // nothing was read since then
  await shellOutput(author, "put /out/a two");
  await shellOutput(reader, "cat /in/a");
  expect(reader.labels).toEqual(["medical", "secret", "untrusted"]);
  const types = (await entriesOf(kernel)).map(({ type }) => type);
  expect(types.indexOf("mount-read")).toBe(types.lastIndexOf("agent-label") + 1);
  await expectSame(kernel);
});
