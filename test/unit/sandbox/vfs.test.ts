/** The file system in memory, and its bounds. */
import { wasi } from "@bjorn3/browser_wasi_shim";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Description } from "../../../src/sandbox/fs/description.ts";
import { type OpenDirectory, RootDirectory } from "../../../src/sandbox/fs/descriptors.ts";
import { Volume } from "../../../src/sandbox/fs/volume.ts";
import { Errno } from "../../../src/sandbox/preview1/errno.ts";
import { fuzzFactor } from "../../setup/fuzz.ts";

function volume(limits = { fileBytes: 1000, fileCount: 10 }) {
  const files = new Volume(limits);
  return { files, root: new RootDirectory(files) };
}

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

const open = (root: OpenDirectory, path: string, oflags = 0, flags = 0): Description =>
  root.openAt(0, path, oflags, flags);

const text = (string: string) => new TextEncoder().encode(string);

test("what is written is read, and counted to the byte", () => {
  const { files, root } = volume();
  const file = open(root, "a.txt", wasi.OFLAGS_CREAT);
  file.write(text("hello"));
  expect(files.fileBytes).toBe(5);
  expect(new TextDecoder().decode(files.readFile("a.txt")!)).toBe("hello");
  file.resize(2n);
  expect(files.fileBytes).toBe(2);
  file.resize(4n);
  expect([...files.readFile("a.txt")!]).toEqual([104, 101, 0, 0]);
});

test("bytes: n fit, n + 1 are ENOSPC, and nothing of them is written", () => {
  const { files, root } = volume({ fileBytes: 10, fileCount: 10 });
  const file = open(root, "a", wasi.OFLAGS_CREAT);
  file.write(text("1234567890"));
  expect(errno(() => file.write(text("1")))).toBe(wasi.ERRNO_NOSPC);
  expect(errno(() => file.pwrite(text("1"), 10n))).toBe(wasi.ERRNO_NOSPC);
  expect(errno(() => file.allocate(0n, 11n))).toBe(wasi.ERRNO_NOSPC);
  expect(errno(() => file.resize(2n ** 40n))).toBe(wasi.ERRNO_NOSPC);
  expect(files.fileBytes).toBe(10);
});

test("attack: a file with a hole of exabytes", () => {
  const { root } = volume();
  const file = open(root, "a", wasi.OFLAGS_CREAT);
  expect(errno(() => file.pwrite(text("x"), 2n ** 62n))).toBe(wasi.ERRNO_FBIG);
  expect(errno(() => file.seek(2n ** 62n, wasi.WHENCE_SET))).toBe(wasi.ERRNO_FBIG);
  expect(errno(() => file.seek(-1n, wasi.WHENCE_SET))).toBe(wasi.ERRNO_INVAL);
});

test("files: n fit, n + 1 are ENOSPC", () => {
  const { root } = volume({ fileBytes: 10, fileCount: 2 });
  open(root, "a", wasi.OFLAGS_CREAT);
  root.mkdir("b");
  expect(errno(() => open(root, "c", wasi.OFLAGS_CREAT))).toBe(wasi.ERRNO_NOSPC);
  expect(errno(() => root.mkdir("c"))).toBe(wasi.ERRNO_NOSPC);
  root.rmdir("b");
  open(root, "c", wasi.OFLAGS_CREAT);
});

test("an unlinked file's bytes count until its last descriptor is closed", () => {
  const { files, root } = volume();
  const file = open(root, "a", wasi.OFLAGS_CREAT);
  file.write(text("hello"));
  root.unlink("a");
  expect(files.fileBytes).toBe(5);
  expect(file.pread(5, 0n)).toHaveLength(5);
  file.close();
  expect(files.fileBytes).toBe(0);
});

const escapes = ["..", "../a", "a/../..", "d/../../a", "/a", "/", "d/../../../etc/passwd", "./.."];

test.each(escapes)("attack: the path %j does not leave the root", (path) => {
  const { root } = volume();
  root.mkdir("d");
  open(root, "a", wasi.OFLAGS_CREAT);
  expect([wasi.ERRNO_NOTCAPABLE, wasi.ERRNO_NOTDIR]).toContain(errno(() => open(root, path)));
});

test("attack: a directory is moved into itself", () => {
  const { root } = volume();
  root.mkdir("a");
  root.mkdir("a/b");
  expect(errno(() => root.rename("a", root, "a/b/c"))).toBe(wasi.ERRNO_INVAL);
  expect(errno(() => root.rename("a", root, "a/b"))).toBe(wasi.ERRNO_INVAL);
});

test("attack: directories nested without end, by making and by moving", () => {
  const { root } = volume({ fileBytes: 10, fileCount: 1000 });
  let path = "d";
  let made = 0;
  while (errno(() => root.mkdir(path)) === 0 && made < 1000) {
    made++;
    path += "/d";
  }
  expect(made).toBe(64);
  root.mkdir("e");
  expect(errno(() => root.rename("d", root, "e/d"))).toBe(wasi.ERRNO_NAMETOOLONG);
  expect(errno(() => root.mkdir("x".repeat(256)))).toBe(wasi.ERRNO_NAMETOOLONG);
});

test("attack: the kernel's own directory is fixed", () => {
  const { files, root } = volume();
  files.device("vak", () => {
    throw new Error("not opened here");
  });
  const tries: (() => unknown)[] = [
    () => root.unlink("dev/vak"),
    () => root.rmdir("dev"),
    () => open(root, "dev/x", wasi.OFLAGS_CREAT),
    () => root.rename("dev", root, "x"),
    () => root.rename("dev/vak", root, "x"),
    () => root.mkdir("dev/x"),
  ];
  for (const attempt of tries) expect(errno(attempt)).toBe(wasi.ERRNO_ACCES);
  expect(files.list()).toEqual([]);
});

test("listings are sorted, and hold while entries come and go", () => {
  const { root } = volume();
  for (const name of ["b", "a", "c"]) open(root, name, wasi.OFLAGS_CREAT);
  const names: string[] = [];
  for (let cookie = 0n; ; cookie++) {
    const entry = root.entry(cookie);
    if (!entry) break;
    const name = new TextDecoder().decode(entry.name);
    names.push(name);
    if (name === "a") root.unlink("a");
  }
  expect(names).toEqual([".", "..", "a", "b", "c"]);
  expect(root.entry(2n ** 63n)).toBeUndefined();
});

test("the digest of a tree depends on its names and bytes, and not on how it came to be", () => {
  const one = volume().files;
  one.writeFile("a", text("1"));
  one.writeFile("d/b", text("2"));
  const other = volume().files;
  other.writeFile("d/b", text("x"));
  other.writeFile("a", text("1"));
  other.writeFile("d/b", text("2"));
  expect(other.sha256()).toBe(one.sha256());
  other.writeFile("d/b", text("3"));
  expect(other.sha256()).not.toBe(one.sha256());
});

/** A step that a program could take. Names collide on purpose. */
const path = fc.stringMatching(/^([abc.]|\.\.)(\/([abc.]|\.\.)){0,2}\/?$/);
const step = fc.oneof(
  fc.record({ does: fc.constant("write" as const), path, bytes: fc.nat(40), at: fc.nat(60) }),
  fc.record({ does: fc.constant("truncate" as const), path, bytes: fc.nat(80), at: fc.constant(0) }),
  fc.record({
    does: fc.constantFrom("mkdir", "rmdir", "unlink", "rename", "link", "close", "stat", "read"),
    path,
    other: path,
  }),
);

test("fuzz: whatever a program does, the volume counts correctly, stays within its limits and fails only with errnos", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const limits = { fileBytes: 100, fileCount: 5 };
      const { files, root } = volume(limits);
      const opened: Description[] = [];
      for (const it of steps) {
        errno(() => {
          if (it.does === "write" || it.does === "truncate") {
            const file = open(root, it.path, wasi.OFLAGS_CREAT | (it.does === "truncate" ? wasi.OFLAGS_TRUNC : 0));
            opened.push(file);
            if (it.does === "write") file.pwrite(new Uint8Array(it.bytes), BigInt(it.at));
            else file.resize(BigInt(it.bytes));
          } else if (it.does === "mkdir") root.mkdir(it.path);
          else if (it.does === "rmdir") root.rmdir(it.path);
          else if (it.does === "unlink") root.unlink(it.path);
          else if (it.does === "rename" && "other" in it) root.rename(it.path, root, it.other);
          else if (it.does === "link" && "other" in it) root.link(it.path, root, it.other);
          else if (it.does === "close") opened.pop()?.close();
          else if (it.does === "stat") root.statAt(0, it.path);
          else open(root, it.path).read(10);
        });
        expect(files.fileBytes).toBeLessThanOrEqual(limits.fileBytes);
      }
      for (const file of opened) file.close();
      // Once nothing is open, what counts is what can be found; hard links count once.
      const listed = files.list();
      const inodes = new Map(
        listed.map(({ path }) => {
          const stat = root.statAt(0, path);
          return [stat.ino, stat.size];
        }),
      );
      expect(inodes.size).toBeLessThanOrEqual(limits.fileCount);
      expect(files.fileBytes).toBe([...inodes.values()].reduce((sum, size) => sum + size, 0));
    }),
    { numRuns: 2000 * fuzzFactor },
  );
});

test("attack: a directory with more names than a function takes arguments", () => {
  const { files, root } = volume({ fileBytes: 1, fileCount: 300_000 });
  open(root, "f0", wasi.OFLAGS_CREAT);
  const only = files.root.entries.get("f0")!;
  for (let i = 1; i < 300_000; i++) files.root.entries.set(`f${i}`, only);
  expect(files.list()).toHaveLength(300_000);
  expect(files.sha256()).toMatch(/^[0-9a-f]{64}$/);
});

test("attack: a symbolic link whose target has more parts than a function takes arguments", () => {
  const { files } = volume({ fileBytes: 2 ** 21, fileCount: 10 });
  files.seed("link", { type: "symlink", target: "a/".repeat(400_000) });
  expect(errno(() => files.readFile("link"))).toBe(wasi.ERRNO_NOENT);
  files.seed("up", { type: "symlink", target: "./".repeat(400_000) });
  expect(errno(() => files.readFile("up"))).toBe(wasi.ERRNO_LOOP);
});
