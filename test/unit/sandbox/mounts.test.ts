/** Mounts as a program sees them. */
import { wasi } from "@bjorn3/browser_wasi_shim";
import { expect, test } from "vitest";
import type { MountShape } from "../../../src/protocol/messages.ts";
import { restoreHost, saveHost } from "../../../src/replay/host-state.ts";
import { Kept } from "../../../src/replay/kept.ts";
import { type OpenDirectory, RootDirectory } from "../../../src/sandbox/fs/descriptors.ts";
import { Volume } from "../../../src/sandbox/fs/volume.ts";
import { Errno } from "../../../src/sandbox/preview1/errno.ts";

const shape = (path: string, more: Partial<MountShape> = {}): MountShape => ({
  ...{ path, readOnly: false, quotaBytes: 100, links: true },
  ...more,
});

/** A volume with a writable mount `rw`, a read-only one `ro` that holds `given`, and a file `own`. */
function volume(rw: Partial<MountShape> = {}) {
  const files = new Volume({ fileBytes: 1000, fileCount: 50 }, [shape("ro", { readOnly: true }), shape("rw", rw)]);
  const root = new RootDirectory(files);
  files.seed("ro/given", text("one"));
  files.seed("own", text("mine"));
  return { files, root };
}

const text = (string: string) => new TextEncoder().encode(string);
const read = (files: Volume, path: string) => new TextDecoder().decode(files.readFile(path)!);
const open = (root: OpenDirectory, path: string, oflags = 0, write = false) => root.openAt(1, path, oflags, 0, write);
const { OFLAGS_CREAT: CREAT, OFLAGS_TRUNC: TRUNC } = wasi;

/** The errno with which it fails, or 0. */
function errno(work: () => unknown): number {
  try {
    work();
    return 0;
  } catch (error) {
    if (error instanceof Errno) return error.errno;
    throw error;
  }
}

test("attack: every way to change what is read-only is EROFS, and nothing has changed", () => {
  const { files, root } = volume();
  files.seed("ro/d/x", text("x"));
  const before = files.sha256();
  const file = open(root, "ro/given");
  const inside = root.openAt(0, "ro", 0, 0) as OpenDirectory;
  const ways: Record<string, () => unknown> = {
    "open to write": () => open(root, "ro/given", 0, true),
    truncate: () => open(root, "ro/given", TRUNC),
    create: () => open(root, "ro/new", CREAT),
    "create from inside": () => open(inside, "new", CREAT),
    write: () => file.write(text("!")),
    pwrite: () => file.pwrite(text("!"), 0n),
    "set size": () => file.resize(0n),
    allocate: () => file.allocate(0n, 9n),
    "set times": () => file.setTimes(1n, 1n, 1),
    "set times of the directory": () => inside.setTimes(1n, 1n, 1),
    "set times by path": () => root.setTimesAt(0, "ro/given", 1n, 1n, 1),
    mkdir: () => root.mkdir("ro/e"),
    unlink: () => root.unlink("ro/given"),
    rmdir: () => {
      files.remove("ro/d/x");
      try {
        root.rmdir("ro/d");
      } finally {
        files.seed("ro/d/x", text("x"));
      }
    },
    rename: () => root.rename("ro/given", root, "ro/other"),
    symlink: () => root.symlink("given", "ro/l"),
    link: () => root.link("ro/given", root, "ro/hard"),
  };
  for (const [way, work] of Object.entries(ways)) expect([way, errno(work)]).toEqual([way, wasi.ERRNO_ROFS]);
  expect(files.sha256()).toBe(before);
  expect(new TextDecoder().decode(file.read(9))).toBe("one");
});

test("a reactor keeps a file open while the page removes it from a read-only mount", () => {
  const { files, root } = volume();
  const file = open(root, "ro/given");
  files.remove("ro/given");
  file.close();
  expect(files.fileBytes).toBe(4);
});

test("attack: nothing is moved or linked from one mount into another, nor a mount itself", () => {
  const { files, root } = volume();
  files.seed("rw/a", text("a"));
  files.seed("d/e", text("e"));
  const crossing: [string, string][] = [
    ["own", "rw/own"],
    ["rw/a", "a"],
    ["rw/a", "ro/a"],
    ["ro/given", "rw/given"],
    ["ro/given", "given"],
    ["d", "rw/d"],
  ];
  for (const [from, to] of crossing) {
    expect([from, to, errno(() => root.rename(from, root, to))]).toEqual([from, to, wasi.ERRNO_XDEV]);
    if (from !== "d") expect([from, errno(() => root.link(from, root, to))]).toEqual([from, wasi.ERRNO_XDEV]);
  }
  expect(errno(() => root.rename("rw", root, "elsewhere"))).toBe(wasi.ERRNO_BUSY);
  expect(errno(() => root.rename("d", root, "rw"))).toBe(wasi.ERRNO_BUSY);
  root.unlink("rw/a");
  expect(errno(() => root.rmdir("rw"))).toBe(wasi.ERRNO_BUSY);
  expect(errno(() => files.remove("rw"))).toBe(wasi.ERRNO_BUSY);
});

test("attack: a directory above a mount is renamed, so that the mount is somewhere else", () => {
  const files = new Volume({ fileBytes: 100, fileCount: 50 }, [shape("a/b/c")]);
  const root = new RootDirectory(files);
  for (const path of ["a", "a/b", "a/b/c"]) {
    expect(errno(() => root.rename(path, root, "z"))).toBe(wasi.ERRNO_BUSY);
  }
});

test("attack: symbolic links from one mount into another, by name and by ..", () => {
  const { files, root } = volume();
  files.seed("rw/a", text("a"));
  // As another agent may have planted them in a folder that is shared.
  files.seed("ro/up", { type: "symlink", target: "../rw/a" });
  files.seed("ro/out", { type: "symlink", target: "../rw" });
  files.seed("ro/own", { type: "symlink", target: "../own" });
  files.seed("ro/round", { type: "symlink", target: "../ro/given" });
  files.seed("into", { type: "symlink", target: "rw/a" });
  files.seed("dir", { type: "symlink", target: "rw" });
  files.seed("twice", { type: "symlink", target: "into" });
  for (const path of ["ro/up", "ro/out/a", "ro/out/new", "ro/own", "ro/round", "into", "dir/a", "dir/new", "twice"]) {
    expect([path, errno(() => open(root, path, CREAT, true))]).toEqual([path, wasi.ERRNO_NOTCAPABLE]);
    expect([path, errno(() => files.readFile(path))]).toEqual([path, wasi.ERRNO_NOTCAPABLE]);
    expect([path, errno(() => files.seed(path, text("!")))]).toEqual([path, wasi.ERRNO_NOTCAPABLE]);
  }
  expect(read(files, "rw/a")).toBe("a");
  expect(read(files, "own")).toBe("mine");
});

test("a link is followed within its mount, and the path may continue into another", () => {
  const { files, root } = volume();
  files.seed("ro/d/e/x", text("x"));
  files.seed("ro/l", { type: "symlink", target: "d/../d/e" });
  files.seed("here", { type: "symlink", target: "sub" });
  files.seed("sub", { type: "directory" });
  expect(read(files, "ro/l/x")).toBe("x");
  expect(new TextDecoder().decode(open(root, "here/../ro/given").read(9))).toBe("one");
  expect(new TextDecoder().decode(open(root, "ro/l/../../given").read(9))).toBe("one");
});

test("attack: .. out of a mount that was opened as a directory", () => {
  const { root } = volume();
  const inside = root.openAt(0, "ro", 0, 0) as OpenDirectory;
  for (const path of ["..", "../own", "./../rw/a", "../ro/given"]) {
    expect([path, errno(() => open(inside, path))]).toEqual([path, wasi.ERRNO_NOTCAPABLE]);
  }
});

test("a mount's quota: n bytes fit, n + 1 are ENOSPC; the other mounts have theirs", () => {
  const { files, root } = volume({ quotaBytes: 5 });
  const file = open(root, "rw/a", CREAT, true);
  file.write(text("12345"));
  expect(errno(() => file.write(text("6")))).toBe(wasi.ERRNO_NOSPC);
  expect(errno(() => root.symlink("x", "rw/l"))).toBe(wasi.ERRNO_NOSPC);
  expect(errno(() => files.seed("rw/b", text("6")))).toBe(wasi.ERRNO_NOSPC);
  expect(errno(() => files.seed("ro/b", new Uint8Array(97)))).toBe(0);
  expect(errno(() => files.seed("ro/c", text("8")))).toBe(wasi.ERRNO_NOSPC);
  root.unlink("rw/a");
  expect(errno(() => files.seed("rw/b", text("6")))).toBe(wasi.ERRNO_NOSPC);
  file.close();
  expect(errno(() => files.seed("rw/c", text("12345")))).toBe(0);
});

test("the limit of the agent holds over all mounts", () => {
  const files = new Volume({ fileBytes: 8, fileCount: 3 }, [shape("m")]);
  files.seed("m/a", text("12345678"));
  expect(errno(() => files.seed("m/b", text("9")))).toBe(wasi.ERRNO_NOSPC);
  expect(errno(() => files.seed("m/c", text("")))).toBe(wasi.ERRNO_NOSPC);
});

test("a symbolic link is EPERM in a mount without links, a hard link in any mount", () => {
  const { files, root } = volume({ links: false });
  files.seed("rw/a", text("a"));
  expect(errno(() => root.symlink("a", "rw/l"))).toBe(wasi.ERRNO_PERM);
  expect(errno(() => root.link("rw/a", root, "rw/b"))).toBe(wasi.ERRNO_PERM);
  const other = volume();
  other.files.seed("rw/a", text("a"));
  expect(errno(() => other.root.symlink("a", "rw/l"))).toBe(0);
  expect(errno(() => other.root.link("rw/a", other.root, "rw/b"))).toBe(wasi.ERRNO_PERM);
});

test("the root can be a mount, with other mounts in it", () => {
  const files = new Volume({ fileBytes: 100, fileCount: 50 }, [shape("", { quotaBytes: 3 }), shape("in")]);
  files.seed("a", text("123"));
  expect(errno(() => files.seed("b", text("4")))).toBe(wasi.ERRNO_NOSPC);
  files.seed("in/b", text("4"));
  expect(files.tree("", "digests")!.map(({ path, size }) => [path, size])).toEqual([
    ["a", 3],
    ["b", 0], // made, and then there was no room for what was to be in it
  ]);
  expect(files.tree("in", "revisions")!.map(({ path }) => path)).toEqual(["b"]);
});

test("a tree has everything below a directory except mounts, with digests, contents, or neither", () => {
  const { files } = volume();
  files.seed("d/b", text("b"));
  files.seed("d/a/c", { type: "directory" });
  files.seed("d/l", { type: "symlink", target: "b" });
  const below = (path: string) => files.tree(path, "digests")!.map(({ revision: _, ...rest }) => rest);
  const digest = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";
  expect(below("d")).toEqual([
    { path: "a", type: "directory", size: 0 },
    { path: "a/c", type: "directory", size: 0 },
    { path: "b", type: "file", size: 1, digest },
    { path: "l", type: "symlink", size: 1, target: "b" },
  ]);
  expect(files.tree("", "revisions")!.map(({ path }) => path)).toEqual(["d", "d/a", "d/a/c", "d/b", "d/l", "own"]);
  expect(files.tree("ro", "bytes")![0]).toMatchObject({ path: "given", bytes: text("one") });
  expect([files.tree("none", "bytes"), files.tree("own", "bytes")]).toEqual([null, null]);
});

test("a file's revision changes whenever its content does, wherever it is moved", () => {
  const { files, root } = volume();
  const revision = () => files.tree("", "revisions")!.find(({ path }) => path === "a")?.revision;
  files.seed("a", text("1"));
  const first = revision();
  files.readFile("a");
  expect(revision()).toBe(first);
  files.seed("a", text("2"));
  expect(revision()).not.toBe(first);
  const second = revision();
  root.rename("own", root, "a");
  expect(revision()).not.toBe(second);
});

test("attack: the contents of a thousand hard links to one large file are requested", () => {
  const files = new Volume({ fileBytes: 50, fileCount: 50 });
  const root = new RootDirectory(files);
  files.seed("a", new Uint8Array(30));
  expect(files.tree("", "bytes")).toHaveLength(1);
  root.link("a", root, "b");
  expect(errno(() => files.tree("", "bytes"))).toBe(wasi.ERRNO_NOSPC);
  expect(files.tree("", "digests")).toHaveLength(2);
});

test("a replay's copy includes the mounts: what they hold, which are read-only, and how much fits", () => {
  const { files } = volume({ quotaBytes: 5 });
  files.seed("rw/a", text("123"));
  const kept = new Kept();
  const copy = saveHost(files, undefined, kept);
  files.seed("rw/a", text("12345"));
  files.seed("rw/b", text(""));
  restoreHost(copy, files, undefined, kept);
  const root = new RootDirectory(files);
  expect(read(files, "rw/a")).toBe("123");
  expect(errno(() => open(root, "ro/given", 0, true))).toBe(wasi.ERRNO_ROFS);
  expect(errno(() => root.rename("rw/a", root, "a"))).toBe(wasi.ERRNO_XDEV);
  expect(errno(() => files.seed("rw/b", text("45")))).toBe(0);
  expect(errno(() => files.seed("rw/c", text("6")))).toBe(wasi.ERRNO_NOSPC);
  restoreHost(copy, files, undefined, kept);
  expect(errno(() => files.seed("rw/b", text("45")))).toBe(0);
});
