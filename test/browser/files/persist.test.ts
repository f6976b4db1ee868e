/** Mounts that are kept under a name, across agents, dead tabs and damage. */
import { expect, test } from "vitest";
import { type Kernel, type Mount, support } from "../../../src/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { engine } from "../../setup/engine.ts";
import { entriesOf, testKernel } from "../../setup/kernel.ts";
import { contents, expectSame, shellOutput, shellRun } from "../../setup/shell.ts";

const kept = test.skipIf(engine === "webkit");

const shell = async (kernel: Kernel, mounts: Record<string, Mount>, files = {}) =>
  kernel.spawn({ name: "shell", program: await loadGuest("shell"), seed: 1, mounts, files });

/** The folder in which vak keeps what has that name. */
const folderOf = async (name: string) =>
  (await navigator.storage.getDirectory()).getDirectoryHandle(`vak.files.${name}`);
const newName = () => crypto.randomUUID();

test("a browser that cannot keep files is reported by support() and by a typed error", async () => {
  await using kernel = await testKernel();
  const { persist } = await support();
  const spawned = shell(kernel, { "/": { persist: newName() } });
  if (persist) await (await spawned).close();
  else await expect(spawned).rejects.toMatchObject({ code: "unsupported" });
  expect(persist).toBe(engine !== "webkit");
});

kept("the next agent finds the files kept under a name: contents, directories and links", async () => {
  await using kernel = await testKernel();
  const persist = newName();
  const first = await shell(kernel, { notes: { persist } });
  const lines = ["put /notes/a one", "mkdir /notes/d", "put /notes/d/b two", "mkdir /notes/e", "symlink d/b /notes/l"];
  expect(await shellOutput(first, ...lines, "put /own x")).toEqual(Array(6).fill("ok"));
  await shellOutput(first, "put /notes/a changed", "rm /notes/e", "put /notes/.vak-x y", "put /notes/NUL. z");
  const digest = (await entriesOf(kernel, "mount-write")).at(-1)!.digest;
  await first.close();

  const second = await shell(kernel, { notes: { persist } });
  expect(await shellOutput(second, "ls /", "ls /notes", "cat /notes/a", "cat /notes/l", "ls /notes/e")).toEqual([
    ...["dev notes", ".vak-x NUL. a d e l", "changed", "two", ""],
  ]);
  await second.close();
  const spawned = await entriesOf(kernel, "agent-spawn");
  expect(spawned[1]!.mounts).toMatchObject([{ path: "/notes", from: "persist", name: persist, digest }]);
  await expectSame(kernel);
});

kept("all of an agent's files can be kept; files that the page gives overwrite them", async () => {
  await using kernel = await testKernel();
  const persist = newName();
  const first = await shell(kernel, { "/": { persist } }, { "in.txt": "one", own: "given" });
  await shellOutput(first, "put /in.txt changed", "mkdir /deep", "put /deep/x y");
  await first.close();
  await using second = await shell(kernel, { "/": { persist }, lib: { files: { z: "z" } } }, { own: "given again" });
  expect(await shellOutput(second, "ls /", "cat /in.txt", "cat /own", "cat /deep/x", "cat /lib/z")).toEqual([
    ...["deep dev in.txt lib own", "changed", "given again", "y", "z"],
  ]);
  await second.close();
  const over = shell(kernel, { "/": { persist }, deep: { files: {} } });
  await expect(over).rejects.toMatchObject({ code: "invalid-argument" });
  await expectSame(kernel);
});

kept(
  "kept files have one writer: a second agent, of this kernel or another, is refused until it is closed; readers are not",
  async () => {
    await using kernel = await testKernel();
    await using other = await testKernel();
    const persist = newName();
    const writer = await shell(kernel, { k: { persist } });
    await shellOutput(writer, "put /k/a one");
    for (const one of [kernel, other]) {
      await expect(shell(one, { k: { persist } })).rejects.toMatchObject({ code: "files-in-use" });
    }
    const twice = shell(other, { a: { persist: "x" }, b: { persist: "x" } });
    await expect(twice).rejects.toMatchObject({ code: "files-in-use" });
    await using reader = await shell(other, { k: { persist, readOnly: true } });
    expect(await shellOutput(reader, "cat /k/a", "put /k/a x")).toEqual(["one", "EROFS"]);
    await shellOutput(writer, "put /k/a two", "put /k/b new");
    await shellOutput(writer, "put /k/a three");
    expect(await shellOutput(reader, "cat /k/a", "cat /k/b")).toEqual(["three", "new"]);
    await writer.close();
    await using next = await shell(other, { k: { persist } });
    expect(await shellOutput(next, "cat /k/a")).toEqual(["three"]);
    await next.close();
    await expectSame(kernel);
  },
);

kept("a lost agent and a failed spawn release their kept files, as they were last saved", async () => {
  await using kernel = await testKernel();
  const persist = newName();
  const agent = await shell(kernel, { k: { persist } });
  await shellOutput(agent, "put /k/a saved");
  await agent.files.write("k/a", "not saved");
  agent.lose("the test ends it");
  const bad = kernel.spawn({ name: "bad", program: new Uint8Array(8), mounts: { k: { persist } } });
  await expect(bad).rejects.toMatchObject({ code: "invalid-module" });
  await using next = await shell(kernel, { k: { persist } });
  expect(await shellOutput(next, "cat /k/a")).toEqual(["saved"]);
});

kept(
  "attack: a tab dies at any moment of the writing. What is kept is the last run's or the one before's, whole",
  async () => {
    await using kernel = await testKernel();
    const persist = newName();
    const agent = await shell(kernel, { k: { persist } });
    await shellOutput(agent, "put /k/a old", "put /k/b old", "put /k/c old");
    // The tab is dead from the n-th step on.
    const { close } = FileSystemWritableFileStream.prototype;
    const { getFileHandle } = FileSystemDirectoryHandle.prototype;
    const { removeEntry } = FileSystemDirectoryHandle.prototype;
    let before = "old";
    for (let steps = 0; steps < 12; steps++) {
      let left = steps;
      const alive = () => {
        if (left-- <= 0) throw new DOMException("the tab is dead", "AbortError");
      };
      const now = `new ${steps}`;
      for (const name of ["a", "b", "c"]) await agent.files.write(`k/${name}`, name + now);
      FileSystemDirectoryHandle.prototype.getFileHandle = async function (...args) {
        alive();
        return getFileHandle.apply(this, args);
      };
      FileSystemWritableFileStream.prototype.close = async function () {
        alive();
        return close.apply(this);
      };
      FileSystemDirectoryHandle.prototype.removeEntry = async function (...args) {
        alive();
        return removeEntry.apply(this, args);
      };
      const saved = await agent.files.save().then(
        () => true,
        () => false,
      );
      Object.assign(FileSystemDirectoryHandle.prototype, { getFileHandle, removeEntry });
      FileSystemWritableFileStream.prototype.close = close;
      await using reader = await shell(kernel, { k: { persist, readOnly: true } });
      const found = await Promise.all(
        ["a", "b", "c"].map(async (name) => (await reader.files.text(`k/${name}`)).slice(-before.length)),
      );
      const whole = found.every((text) => text === found[0]);
      expect({ steps, whole, found }).toMatchObject({ whole: true });
      if (saved) {
        expect(await reader.files.text("k/a")).toBe(`a${now}`);
        before = now;
      }
    }
    expect(before).not.toBe("old");
    await agent.close();
  },
);

kept("attack: kept files are damaged. The previous generation is used, or the agent is refused", async () => {
  await using kernel = await testKernel();
  const persist = newName();
  const first = await shell(kernel, { k: { persist } });
  await shellOutput(first, "put /k/a one", "put /k/same s");
  await shellOutput(first, "put /k/a two");
  await first.close();
  const folder = await folderOf(persist);
  const lists = Object.keys(await contents(folder)).filter((name) => name.startsWith("tree."));
  expect(lists.map((name) => name.split(".")[1]).sort()).toEqual(["1", "2"]);
  const spoil = async (name: string, text: string) => {
    const stream = await (await folder.getFileHandle(name, { create: true })).createWritable();
    await stream.write(text);
    await stream.close();
  };
  const [older, newer] = lists.sort();
  await spoil(`tree.7.${"0".repeat(64)}`, "[]");
  await spoil(newer!, '[["a","f"');
  const second = await shell(kernel, { k: { persist } });
  expect(await shellOutput(second, "cat /k/a")).toEqual(["one"]);
  expect((await shellRun(second, "put /k/a three")).result.filesError).toBeUndefined();
  await second.close();
  const third = await shell(kernel, { k: { persist } });
  expect(await shellOutput(third, "cat /k/a", "cat /k/same")).toEqual(["three", "s"]);
  await third.close();
  for (const name of Object.keys(await contents(folder))) if (name.startsWith("blob.")) await spoil(name, "no");
  await expect(shell(kernel, { k: { persist } })).rejects.toMatchObject({ code: "files-unavailable" });
  expect(older).toContain("tree.1.");
});

kept("all but the last two generations are removed", async () => {
  await using kernel = await testKernel();
  const persist = newName();
  await using agent = await shell(kernel, { k: { persist } });
  for (let i = 0; i < 5; i++) await shellOutput(agent, `put /k/a ${i}`, "put /k/b same");
  const names = Object.keys(await contents(await folderOf(persist)));
  expect(names.filter((name) => name.startsWith("tree."))).toHaveLength(2);
  expect(names.filter((name) => name.startsWith("blob."))).toHaveLength(3);
});

kept("a quota holds across agents: kept files that exceed it are refused, and not lost", async () => {
  await using kernel = await testKernel();
  const persist = newName();
  const first = await shell(kernel, { k: { persist } });
  await shellOutput(first, "put /k/a 12345");
  await first.close();
  await expect(shell(kernel, { k: { persist, quotaBytes: 4 } })).rejects.toMatchObject({ code: "files-unavailable" });
  await using again = await shell(kernel, { k: { persist, quotaBytes: 5 } });
  expect(await shellOutput(again, "cat /k/a", "add /k/a 6")).toEqual(["12345", "ENOSPC"]);
});

kept(
  "attack: labels are laundered by files that are kept. Whoever reads them gets the labels of whoever wrote them",
  async () => {
    await using kernel = await testKernel();
    const persist = newName();
    const labelled = { name: "shell", program: await loadGuest("shell"), labels: ["secret"] };
    const writer = await kernel.spawn({ ...labelled, mounts: { k: { persist } } });
    await using reader = await shell(kernel, { k: { persist, readOnly: true } });
    await shellOutput(writer, "put /k/a x");
    expect(reader.labels).toEqual([]);
    await shellOutput(reader, "cat /k/a");
    expect(reader.labels).toEqual(["secret"]);
    await writer.close();
    await using next = await shell(kernel, { k: { persist } });
    expect(next.labels).toEqual(["secret"]);
    expect((await entriesOf(kernel, "agent-spawn")).map(({ labels }) => labels)).toEqual([
      ["secret"],
      undefined,
      ["secret"],
    ]);
  },
);
