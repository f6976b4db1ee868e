/** Files as programs see them, in browsers. */
import { Directory, File, PreopenDirectory } from "@bjorn3/browser_wasi_shim";
import { unzipSync } from "fflate";
import { expect, test } from "vitest";
import { loadGuest } from "../../guests/load.ts";
import { finish, testKernel } from "../../setup/kernel.ts";

test("links, times, clocks and polling, as a C program uses them", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "links",
    program: await loadGuest("links"),
    files: { "given/a": "one", empty: { type: "directory" }, link: { type: "symlink", target: "given/a" } },
  });
  expect(await agent.files.list()).toEqual([
    { path: "empty", type: "directory", size: 0 },
    { path: "given", type: "directory", size: 0 },
    { path: "given/a", type: "file", size: 3 },
    { path: "link", type: "symlink", size: 7, target: "given/a" },
  ]);
  const { result, stdout } = await finish(agent.run({ stdin: "input" }));
  expect({ stdout, ...result }).toMatchObject({ stdout: "0 wrong\n", status: "exited", exitCode: 0 });
  expect(await agent.files.text("link")).toBe("two");
});

test("a program reads and changes the tree of browser_wasi_shim that its agent was given, and the tree stays as it was", async () => {
  await using kernel = await testKernel();
  const file = new File(new TextEncoder().encode("one"));
  const root = new PreopenDirectory("/", new Map([["a", file]]));
  root.dir.contents.set("d", new Directory([["b", new File([0x74, 0x77, 0x6f])]]));
  root.dir.contents.set("e", new Directory([]));
  const program = await loadGuest("shell");
  const session = { stdin: "ls /\ncat a\ncat d/b\nls e\nadd a !\ncat a\n" };
  for (const files of [root.dir.contents, root]) {
    await using agent = await kernel.spawn({ name: "shim", program, files });
    const { stdout } = await finish(agent.run(session));
    expect(stdout).toBe("a d dev e\none\ntwo\n\nok\none!\n");
  }
  expect(new TextDecoder().decode(file.data)).toBe("one");
  await using mixed = await kernel.spawn({ name: "mixed", program, files: { t: "text", in: root.dir } });
  expect(await mixed.files.list()).toMatchObject([
    { path: "in", type: "directory" },
    { path: "in/a", type: "file", size: 3 },
    { path: "in/d", type: "directory" },
    { path: "in/d/b", type: "file", size: 3 },
    { path: "in/e", type: "directory" },
    { path: "t", type: "file", size: 4 },
  ]);
});

test("first files that are not valid are refused before anything is started", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("hello");
  const bad = [
    { type: "symlink", target: "/etc/passwd" },
    { type: "symlink", target: "" },
    { type: "symlink", target: "a\0b" },
    { type: "symlink" },
    { type: "device" },
    null,
    7,
  ];
  for (const file of bad) {
    const spawned = kernel.spawn({ name: "bad", program, files: { a: file as never } });
    await expect(spawned, JSON.stringify(file)).rejects.toMatchObject({ code: "invalid-argument" });
  }
});

test("agent.files: what is written is listed, described, digested and exported", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("hello");
  const files = { "a.txt": "one", "d/b": Uint8Array.of(1, 2), l: { type: "symlink", target: "a.txt" } } as const;
  await using agent = await kernel.spawn({ name: "files", program, files });
  await using other = await kernel.spawn({ name: "other", program });
  expect(await agent.files.stat("a.txt")).toEqual({ path: "a.txt", type: "file", size: 3, labels: [] });
  expect(await agent.files.stat("d")).toEqual({ path: "d", type: "directory", size: 0, labels: [] });
  expect(await agent.files.stat("l")).toEqual({ path: "l", type: "symlink", size: 5, target: "a.txt", labels: [] });
  await expect(agent.files.stat("none")).rejects.toMatchObject({ code: "not-found" });
  await expect(agent.files.stat("../a.txt")).rejects.toMatchObject({ code: "invalid-argument" });

  expect(await other.files.snapshot()).not.toBe(await agent.files.snapshot());
  await other.files.write("d/b", Uint8Array.of(1, 2));
  await other.files.write("a.txt", "one");
  const without = await other.files.snapshot();
  expect(await agent.files.remove("l")).toBe(true);
  expect(await agent.files.snapshot()).toBe(without);
  await agent.files.write("a.txt", "two");
  expect(await agent.files.snapshot()).not.toBe(without);

  const zip = unzipSync(new Uint8Array(await (await agent.files.export()).arrayBuffer()));
  expect(Object.keys(zip)).toEqual(["a.txt", "d/", "d/b"]);
  expect(new TextDecoder().decode(zip["a.txt"])).toBe("two");
  expect(zip["d/b"]).toEqual(Uint8Array.of(1, 2));
});

test("attack: symbolic links that lead the page astray, in every function of agent.files", async () => {
  await using kernel = await testKernel();
  const files = {
    l: { type: "symlink", target: "../../etc/passwd" },
    ring: { type: "symlink", target: "ring" },
  } as const;
  await using agent = await kernel.spawn({ name: "links", program: await loadGuest("hello"), files });
  for (const path of ["l", "ring"]) {
    await expect(agent.files.read(path)).rejects.toMatchObject({ code: "invalid-argument" });
    await expect(agent.files.write(path, "x")).rejects.toMatchObject({ code: "invalid-argument" });
    await expect(agent.files.write(`${path}/x`, "x")).rejects.toMatchObject({ code: "invalid-argument" });
  }
  const zip = unzipSync(new Uint8Array(await (await agent.files.export()).arrayBuffer()));
  expect(Object.keys(zip)).toEqual([]);
  expect(await agent.files.remove("ring")).toBe(true);
  expect((await agent.files.list()).map(({ path }) => path)).toEqual(["l"]);
});
