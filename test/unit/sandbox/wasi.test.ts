/** WASI preview 1, call by call. */
import { wasi } from "@bjorn3/browser_wasi_shim";
import { afterAll, describe, expect, test } from "vitest";
import { WASI_IMPORTS } from "../../../src/sandbox/wasi/imports.ts";
import { ALL, Guest, ROOT } from "./guest.ts";

const { ERRNO_BADF, ERRNO_INVAL, ERRNO_LOOP, ERRNO_NOENT, ERRNO_NOSPC, ERRNO_NOTCAPABLE, ERRNO_NOTDIR } = wasi;
const { OFLAGS_CREAT, OFLAGS_DIRECTORY, OFLAGS_EXCL, OFLAGS_TRUNC } = wasi;
const FOLLOW = 1;
const SYMLINK = 7;
const READ = BigInt(wasi.RIGHTS_FD_READ);
const WRITE = BigInt(wasi.RIGHTS_FD_WRITE);
const SECOND = 1_000_000_000n;

const create = (guest: Guest, path: string, text = "") => {
  const { errno, fd } = guest.open(path, { oflags: OFLAGS_CREAT, base: ALL });
  expect(errno).toBe(0);
  if (text) expect(guest.write(fd, text)).toEqual({ errno: 0, count: text.length });
  return fd;
};
const content = (guest: Guest, path: string) => new TextDecoder().decode(guest.volume.readFile(path)!);

const called = new Set<string>();
/** A guest whose calls are counted, so that no function goes without a case. */
function start(...args: ConstructorParameters<typeof Guest>): Guest {
  const guest = new Guest(...args);
  const { host } = guest.process;
  for (const [name, fn] of Object.entries(host)) {
    host[name] = (...args) => {
      called.add(name);
      return fn(...args);
    };
  }
  return guest;
}
afterAll(() => {
  expect(Object.keys(WASI_IMPORTS.wasi_snapshot_preview1!).filter((name) => !called.has(name))).toEqual([]);
});

describe("arguments, environment, clocks, randomness", () => {
  test("args and environ: counts in bytes of UTF-8, strings with their NUL", () => {
    const guest = start({}, { args: ["guest", "grüße 世界", ""], env: { NAME: "välue" } });
    const { view } = guest;
    expect(guest.call("args_sizes_get", 0, 4)).toBe(0);
    expect([view.getUint32(0, true), view.getUint32(4, true)]).toEqual([3, 6 + 15 + 1]);
    expect(guest.call("args_get", 0, 100)).toBe(0);
    expect(guest.text(100, 22)).toBe("guest\0grüße 世界\0\0");
    expect([0, 4, 8].map((at) => view.getUint32(at, true))).toEqual([100, 106, 121]);
    expect(guest.call("environ_sizes_get", 0, 4)).toBe(0);
    expect([view.getUint32(0, true), view.getUint32(4, true)]).toEqual([1, 12]);
    expect(guest.call("environ_get", 0, 100)).toBe(0);
    expect(guest.text(100, 12)).toBe("NAME=välue\0");
  });

  test("clocks: four of them, each with a resolution; others are EINVAL", () => {
    const guest = start();
    for (const id of [0, 1, 2, 3]) {
      expect(guest.call("clock_res_get", id, 0)).toBe(0);
      expect(guest.view.getBigUint64(0, true)).toBeGreaterThan(0n);
      expect(guest.clock(id)).toEqual({ errno: 0, time: id === 0 ? 946_684_800n * SECOND : 0n });
    }
    expect(guest.clock(4).errno).toBe(ERRNO_INVAL);
    expect(guest.call("clock_res_get", 4, 0)).toBe(ERRNO_INVAL);
  });

  test("the CPU clocks count work, and not sleep", async () => {
    const guest = start();
    let used = 0;
    guest.process.attach(
      {
        get used() {
          return used;
        },
        exhausted: false,
      } as never,
      () => {},
    );
    used = 5000;
    expect([1, 2, 3].map((id) => guest.clock(id).time)).toEqual([5000n, 5000n, 5000n]);
    expect((await guest.poll([{ userdata: 1n, timeout: 2_000_000n }])).errno).toBe(0);
    expect([0, 1, 2, 3].map((id) => guest.clock(id).time)).toEqual([
      946_684_800n * SECOND + 2_005_000n,
      2_005_000n,
      5000n,
      5000n,
    ]);
  });

  test("random bytes follow from the seed; asking for none draws none", () => {
    const [one, other] = [start(), start()];
    expect(one.call("random_get", 0, 0)).toBe(0);
    expect(one.call("random_get", 0, 100)).toBe(0);
    expect(other.call("random_get", 0, 100)).toBe(0);
    expect(one.bytes(0, 100)).toEqual(other.bytes(0, 100));
    expect(new Set(one.bytes(0, 100)).size).toBeGreaterThan(20);
  });

  test("proc_exit ends the run, sched_yield does nothing, and proc_raise is ENOSYS", () => {
    const guest = start();
    expect(guest.call("sched_yield")).toBe(0);
    expect(guest.call("proc_raise", 9)).toBe(wasi.ERRNO_NOSYS);
    guest.call("proc_exit", 7);
    expect(guest.process.ended()).toEqual({ exitCode: 7 });
  });
});

describe("descriptors", () => {
  test("a file is read, written and sought as it says", () => {
    const guest = start();
    const fd = create(guest, "a", "hello");
    expect(guest.seek(fd, 1n, wasi.WHENCE_SET)).toEqual({ errno: 0, position: 1n });
    expect(new TextDecoder().decode(guest.read(fd, 3).data)).toBe("ell");
    expect(guest.call("fd_tell", fd, 0)).toBe(0);
    expect(guest.view.getBigUint64(0, true)).toBe(4n);
    expect(guest.seek(fd, -2n, wasi.WHENCE_END).position).toBe(3n);
    expect(guest.write(fd, "LO!").count).toBe(3);
    expect(guest.write(fd, "H", 0n).count).toBe(1);
    expect(new TextDecoder().decode(guest.read(fd, 99, 0n).data)).toBe("HelLO!");
    expect(guest.seek(fd, 0n, 3).errno).toBe(ERRNO_INVAL);
    expect(guest.seek(fd, -1n, wasi.WHENCE_SET).errno).toBe(ERRNO_INVAL);
    expect(guest.call("fd_sync", fd)).toBe(0);
    expect(guest.call("fd_datasync", fd)).toBe(0);
    expect(guest.call("fd_advise", fd, 0n, 0n, wasi.ADVICE_NOREUSE)).toBe(0);
    expect(guest.call("fd_advise", fd, 0n, 0n, wasi.ADVICE_NOREUSE + 1)).toBe(ERRNO_INVAL);
    expect(guest.call("fd_allocate", fd, 0n, 10n)).toBe(0);
    expect(guest.fstat(fd).size).toBe(10n);
    expect(guest.call("fd_allocate", fd, 0n, 0n)).toBe(ERRNO_INVAL);
    expect(guest.call("fd_filestat_set_size", fd, 2n)).toBe(0);
    expect(content(guest, "a")).toBe("He");
    expect(guest.call("fd_close", fd)).toBe(0);
    expect(guest.call("fd_close", fd)).toBe(ERRNO_BADF);
  });

  test("append: at the end, wherever the position is; a write that does not fit leaves it", () => {
    const guest = start({ fileBytes: 6 });
    create(guest, "a", "123");
    const { fd } = guest.open("a", { base: ALL, flags: wasi.FDFLAGS_APPEND });
    expect(guest.write(fd, "45").count).toBe(2);
    guest.seek(fd, 1n, wasi.WHENCE_SET);
    expect(guest.write(fd, "67").errno).toBe(ERRNO_NOSPC);
    expect(guest.seek(fd, 0n, wasi.WHENCE_CUR).position).toBe(1n);
    expect(guest.fdstat(fd).flags).toBe(wasi.FDFLAGS_APPEND);
    expect(guest.call("fd_fdstat_set_flags", fd, 0)).toBe(0);
    expect(guest.write(fd, "x").count).toBe(1);
    expect(content(guest, "a")).toBe("1x345");
    expect(guest.call("fd_fdstat_set_flags", fd, 32)).toBe(ERRNO_INVAL);
  });

  test("flags of open: O_EXCL, O_TRUNC, O_DIRECTORY; an unknown bit is EINVAL", () => {
    const guest = start();
    create(guest, "a", "123");
    expect(guest.path("path_create_directory", "d")).toBe(0);
    expect(guest.open("a", { oflags: OFLAGS_CREAT | OFLAGS_EXCL }).errno).toBe(wasi.ERRNO_EXIST);
    expect(guest.open("a", { oflags: OFLAGS_DIRECTORY }).errno).toBe(ERRNO_NOTDIR);
    expect(guest.open("a", { oflags: OFLAGS_TRUNC }).errno).toBe(0);
    expect(content(guest, "a")).toBe("");
    expect(guest.open("d", { oflags: OFLAGS_TRUNC }).errno).toBe(wasi.ERRNO_ISDIR);
    expect(guest.open("d", { oflags: OFLAGS_CREAT }).errno).toBe(wasi.ERRNO_ISDIR);
    expect(guest.open("d", { base: ALL }).errno).toBe(wasi.ERRNO_ISDIR);
    expect(guest.open("n", { oflags: OFLAGS_CREAT | OFLAGS_DIRECTORY }).errno).toBe(ERRNO_INVAL);
    expect(guest.open("n", { oflags: 16 }).errno).toBe(ERRNO_INVAL);
    expect(guest.open("n", { flags: 32 }).errno).toBe(ERRNO_INVAL);
    expect(guest.open("n").errno).toBe(ERRNO_NOENT);
  });

  test("the standard streams are not terminals, and have no position", () => {
    const guest = start({}, { stdin: new TextEncoder().encode("input") });
    for (const fd of [0, 1, 2]) {
      expect(guest.fdstat(fd).type).toBe(wasi.FILETYPE_UNKNOWN);
      expect(guest.fstat(fd)).toMatchObject({ errno: 0, type: wasi.FILETYPE_UNKNOWN });
      expect(guest.seek(fd, 0n, wasi.WHENCE_CUR).errno).toBe(wasi.ERRNO_SPIPE);
      expect(guest.call("fd_tell", fd, 0)).toBe(wasi.ERRNO_SPIPE);
      expect(guest.call("fd_sync", fd)).toBe(0);
    }
    expect(new TextDecoder().decode(guest.read(0, 3).data)).toBe("inp");
    expect(new TextDecoder().decode(guest.read(0, 9).data)).toBe("ut");
    expect(guest.read(0, 9)).toMatchObject({ errno: 0, data: new Uint8Array() });
    expect(guest.read(1, 1).errno).toBe(ERRNO_BADF);
    expect(guest.write(0, "x").errno).toBe(ERRNO_BADF);
    expect(guest.write(1, "out").count).toBe(3);
    expect(guest.write(2, "x", 0n).errno).toBe(wasi.ERRNO_SPIPE);
  });

  test("renumber closes the replaced descriptor and frees the old number", () => {
    const guest = start();
    const [a, b] = [create(guest, "a", "A"), create(guest, "b", "B")];
    expect(guest.call("fd_renumber", a, b)).toBe(0);
    expect(guest.call("fd_close", a)).toBe(ERRNO_BADF);
    expect(new TextDecoder().decode(guest.read(b, 9, 0n).data)).toBe("A");
    expect(guest.call("fd_renumber", b, b)).toBe(0);
    expect(guest.call("fd_renumber", b, 99)).toBe(ERRNO_BADF);
    expect(create(guest, "c")).toBe(a);
  });

  test("the root is preopened, and nothing else is", () => {
    const guest = start();
    expect(guest.call("fd_prestat_get", ROOT, 0)).toBe(0);
    expect([guest.view.getUint8(0), guest.view.getUint32(4, true)]).toEqual([0, 1]);
    expect(guest.call("fd_prestat_dir_name", ROOT, 0, 1)).toBe(0);
    expect(guest.text(0, 1)).toBe("/");
    expect(guest.call("fd_prestat_dir_name", ROOT, 0, 0)).toBe(wasi.ERRNO_NAMETOOLONG);
    for (const fd of [0, 4]) {
      expect(guest.call("fd_prestat_get", fd, 0)).toBe(ERRNO_BADF);
      expect(guest.call("fd_prestat_dir_name", fd, 0, 1)).toBe(ERRNO_BADF);
    }
  });

  test("there are no sockets", () => {
    const guest = start();
    const calls: [string, ...number[]][] = [
      ["sock_accept", 1, 0, 0],
      ["sock_recv", 1, 0, 0, 0, 0, 0],
      ["sock_send", 1, 0, 0, 0, 0],
      ["sock_shutdown", 1, 0],
    ];
    for (const [name, fd, ...rest] of calls) {
      expect(guest.call(name, fd!, ...rest)).toBe(wasi.ERRNO_NOTSOCK);
      expect(guest.call(name, 99, ...rest)).toBe(ERRNO_BADF);
    }
  });
});

describe("rights", () => {
  test("a descriptor allows what it was opened for, and nothing else", () => {
    const guest = start();
    create(guest, "a", "x");
    const reading = guest.open("a", { base: READ }).fd;
    expect(guest.write(reading, "y").errno).toBe(ERRNO_BADF);
    expect(guest.write(reading, "y", 0n).errno).toBe(ERRNO_BADF);
    expect(guest.call("fd_filestat_set_size", reading, 0n)).toBe(ERRNO_NOTCAPABLE);
    expect(guest.call("fd_allocate", reading, 0n, 9n)).toBe(ERRNO_NOTCAPABLE);
    expect(guest.seek(reading, 0n, wasi.WHENCE_SET).errno).toBe(ERRNO_NOTCAPABLE);
    const writing = guest.open("a", { base: WRITE }).fd;
    expect(guest.read(writing, 1).errno).toBe(ERRNO_BADF);
    expect(guest.read(writing, 1, 0n).errno).toBe(ERRNO_BADF);
    expect(content(guest, "a")).toBe("x");
  });

  test("they only shrink, and are inherited", () => {
    const guest = start();
    create(guest, "a", "x");
    const root = guest.fdstat(ROOT);
    expect(root.base & (READ | WRITE)).toBe(0n);
    const { fd: narrow } = guest.open(".", { base: root.base, inheriting: READ, oflags: OFLAGS_DIRECTORY });
    expect(guest.fdstat(narrow)).toMatchObject({ base: root.base, inheriting: READ });
    const { fd } = guest.open("a", { dir: narrow, base: ALL });
    expect(guest.fdstat(fd).base).toBe(READ);
    expect(guest.call("fd_fdstat_set_rights", fd, READ | WRITE, 0n)).toBe(ERRNO_NOTCAPABLE);
    expect(guest.call("fd_fdstat_set_rights", fd, 0n, 0n)).toBe(0);
    expect(guest.read(fd, 1).errno).toBe(ERRNO_BADF);
    expect(guest.call("fd_fdstat_set_rights", narrow, 0n, 0n)).toBe(0);
    for (const errno of [
      guest.open("a", { dir: narrow }).errno,
      guest.path("path_create_directory", "x", narrow),
      guest.path("path_unlink_file", "a", narrow),
      guest.path("path_remove_directory", "x", narrow),
      guest.link("a", "b", { dir: narrow }),
      guest.link("a", "b", { toDir: narrow }),
      guest.rename("a", "b", { dir: narrow }),
      guest.rename("a", "b", { toDir: narrow }),
      guest.symlink("a", "b", narrow),
      guest.readlink("a", 9, narrow).errno,
      guest.stat("a", 0, narrow).errno,
      guest.readdir(narrow).errno,
      guest.fstat(narrow).errno,
    ]) {
      expect(errno).toBe(ERRNO_NOTCAPABLE);
    }
    expect(guest.volume.list().map(({ path }) => path)).toEqual(["a"]);
  });

  test("attack: files are opened for writing from a directory without that right", () => {
    const guest = start();
    create(guest, "a", "x");
    const { fd: dir } = guest.open(".", { base: ALL & ~WRITE, inheriting: ALL & ~WRITE });
    const { fd } = guest.open("a", { dir, base: ALL, inheriting: ALL });
    expect(guest.write(fd, "y").errno).toBe(ERRNO_BADF);
    const { fd: again } = guest.open(".", { dir, base: ALL & ~WRITE, inheriting: ALL });
    expect(guest.write(guest.open("a", { dir: again, base: ALL }).fd, "y").errno).toBe(ERRNO_BADF);
  });

  test("attack: O_TRUNC and O_CREAT without the rights they need", () => {
    const guest = start();
    create(guest, "a", "x");
    const { base, inheriting } = guest.fdstat(ROOT);
    const fewer = base & ~BigInt(wasi.RIGHTS_PATH_FILESTAT_SET_SIZE | wasi.RIGHTS_PATH_CREATE_FILE);
    const { fd: dir } = guest.open(".", { base: fewer, inheriting });
    expect(guest.open("a", { dir, oflags: OFLAGS_TRUNC }).errno).toBe(ERRNO_NOTCAPABLE);
    expect(guest.open("n", { dir, oflags: OFLAGS_CREAT }).errno).toBe(ERRNO_NOTCAPABLE);
    expect(content(guest, "a")).toBe("x");
  });
});

describe("paths", () => {
  test("directories, links and names", () => {
    const guest = start();
    expect(guest.path("path_create_directory", "d/")).toBe(0);
    create(guest, "d/a", "x");
    expect(guest.link("d/a", "b")).toBe(0);
    expect([guest.stat("b").nlink, guest.stat("b").ino]).toEqual([2n, guest.stat("d/a").ino]);
    expect(guest.rename("d", "e/")).toBe(0);
    expect(guest.rename("b", "e/a")).toBe(0); // the same file: nothing happens
    expect(guest.volume.list().map(({ path }) => path)).toEqual(["b", "e", "e/a"]);
    expect(guest.path("path_remove_directory", "e")).toBe(wasi.ERRNO_NOTEMPTY);
    expect(guest.path("path_unlink_file", "e/a")).toBe(0);
    expect(guest.stat("b").nlink).toBe(1n);
    expect(guest.path("path_remove_directory", "e/")).toBe(0);
    expect(guest.link("b", "c", { flags: FOLLOW })).toBe(ERRNO_INVAL);
    expect(guest.link("b", "c/")).toBe(ERRNO_NOENT);
  });

  test("a path through a file, or with dots after one, leads nowhere", () => {
    const guest = start();
    create(guest, "a");
    for (const path of ["a/", "a/.", "a/..", "a/x", "a/./x"]) expect(guest.open(path).errno).toBe(ERRNO_NOTDIR);
    expect(guest.path("path_create_directory", "n/.")).toBe(ERRNO_NOENT);
    expect(guest.path("path_unlink_file", "a/")).toBe(ERRNO_NOTDIR);
  });

  test("symbolic links: read, followed, truncated, left dangling", () => {
    const guest = start();
    expect(guest.path("path_create_directory", "d")).toBe(0);
    create(guest, "d/a", "x");
    expect(guest.symlink("d/a", "link")).toBe(0);
    expect(guest.symlink("../link", "d/back")).toBe(0);
    expect(guest.readlink("link")).toEqual({ errno: 0, target: "d/a" });
    expect(guest.readlink("link", 2)).toEqual({ errno: 0, target: "d/" });
    expect(guest.readlink("d/a").errno).toBe(ERRNO_INVAL);
    expect(guest.stat("d/back").type).toBe(SYMLINK);
    expect(guest.stat("d/back", FOLLOW)).toMatchObject({ type: wasi.FILETYPE_REGULAR_FILE, size: 1n });
    expect(guest.open("d/back").errno).toBe(ERRNO_LOOP);
    expect(guest.open("d/back", { lookup: FOLLOW }).errno).toBe(0);
    expect(guest.symlink("nowhere", "dangling")).toBe(0);
    expect(guest.open("dangling", { lookup: FOLLOW }).errno).toBe(ERRNO_NOENT);
    expect(guest.open("dangling", { lookup: FOLLOW, oflags: OFLAGS_CREAT | OFLAGS_EXCL }).errno).toBe(wasi.ERRNO_EXIST);
    expect(guest.open("dangling", { lookup: FOLLOW, oflags: OFLAGS_CREAT }).errno).toBe(0);
    expect(guest.stat("nowhere").errno).toBe(0);
    expect(guest.path("path_unlink_file", "dangling")).toBe(0);
    expect(guest.stat("nowhere").errno).toBe(0);
    expect(guest.path("path_remove_directory", "link")).toBe(ERRNO_NOTDIR);
  });

  test("attack: symbolic links out of the root, out of a directory, and in a ring", () => {
    const guest = start();
    expect(guest.symlink("/etc/passwd", "absolute")).toBe(ERRNO_NOTCAPABLE);
    expect(guest.symlink("../../etc", "out")).toBe(0);
    expect(guest.open("out", { lookup: FOLLOW }).errno).toBe(ERRNO_NOTCAPABLE);
    expect(guest.open("out/passwd").errno).toBe(ERRNO_NOTCAPABLE);
    expect(guest.path("path_create_directory", "d")).toBe(0);
    create(guest, "secret", "x");
    expect(guest.symlink("../secret", "d/up")).toBe(0);
    expect(guest.open("d/up", { lookup: FOLLOW }).errno).toBe(0);
    const { fd: dir } = guest.open("d", { oflags: OFLAGS_DIRECTORY });
    expect(guest.open("up", { dir, lookup: FOLLOW }).errno).toBe(ERRNO_NOTCAPABLE);
    expect(guest.open("../secret", { dir }).errno).toBe(ERRNO_NOTCAPABLE);
    expect(guest.symlink("b", "a")).toBe(0);
    expect(guest.symlink("a", "b")).toBe(0);
    for (const path of ["a", "a/x"]) expect(guest.open(path, { lookup: FOLLOW }).errno).toBe(ERRNO_LOOP);
    expect(guest.path("path_create_directory", "a/x")).toBe(ERRNO_LOOP);
  });

  test("attack: links to links, which would take forever to follow", () => {
    const guest = start();
    for (let i = 0; i < 30; i++) expect(guest.symlink(`l${i + 1}/`.repeat(1000), `l${i}`)).toBe(0);
    guest.path("path_create_directory", "l30");
    expect(guest.open("l0", { lookup: FOLLOW }).errno).toBe(ERRNO_NOENT);
    expect(guest.symlink(".", "self")).toBe(0);
    expect(guest.open("self/".repeat(40)).errno).toBe(0);
    expect(guest.open("self/".repeat(41)).errno).toBe(ERRNO_LOOP);
    expect(guest.symlink("./".repeat(2000), "dots")).toBe(0);
    expect(guest.open("dots/".repeat(3), { lookup: FOLLOW }).errno).toBe(ERRNO_LOOP);
  });

  test("attack: names with NUL, not UTF-8, or too long", () => {
    const guest = start();
    const all = { oflags: OFLAGS_CREAT };
    expect(guest.open("a\0b", all).errno).toBe(ERRNO_INVAL);
    expect(guest.open(Uint8Array.of(0x61, 0xff), all).errno).toBe(wasi.ERRNO_ILSEQ);
    expect(guest.open(Uint8Array.of(0xed, 0xa0, 0x80), all).errno).toBe(wasi.ERRNO_ILSEQ);
    expect(guest.open("ä".repeat(127), all).errno).toBe(0);
    expect(guest.open("ä".repeat(128), all).errno).toBe(wasi.ERRNO_NAMETOOLONG);
    expect(guest.open("a/".repeat(2049), all).errno).toBe(wasi.ERRNO_NAMETOOLONG);
    expect(guest.symlink("a\0b", "l")).toBe(ERRNO_INVAL);
  });

  test("listings: cookies hold while entries come and go, a cut entry is read again", () => {
    const guest = start();
    for (const name of ["c", "a", "b"]) create(guest, name);
    guest.symlink("a", "link");
    const { fd } = guest.open(".", { oflags: OFLAGS_DIRECTORY });
    const whole = guest.readdir(fd).entries;
    expect(whole.map(({ name }) => name)).toEqual([".", "..", "a", "b", "c", "dev", "link"]);
    expect(whole.at(-1)!.type).toBe(SYMLINK);
    expect(whole[2]!.ino).toBe(guest.stat("a").ino);
    const first = guest.readdir(fd, 0n, 24 + 1 + 24 + 2 + 10);
    expect([first.used, first.entries.length]).toEqual([61, 2]);
    guest.path("path_unlink_file", "a");
    create(guest, "new");
    const rest = guest.readdir(fd, first.entries.at(-1)!.next).entries.map(({ name }) => name);
    expect(rest).toEqual(["a", "b", "c", "dev", "link"]);
    expect(guest.readdir(fd).entries.map(({ name }) => name)).toEqual([".", "..", "b", "c", "dev", "link", "new"]);
    expect(guest.readdir(fd, 2n ** 63n)).toMatchObject({ errno: 0, used: 0 });
    expect(guest.readdir(create(guest, "file")).errno).toBe(ERRNO_NOTDIR);
  });
});

describe("times", () => {
  test("are set to a given time or to now, never both", () => {
    const guest = start();
    create(guest, "a");
    guest.symlink("a", "l");
    const { ATIM, ATIM_NOW, MTIM, MTIM_NOW } = { ATIM: 1, ATIM_NOW: 2, MTIM: 4, MTIM_NOW: 8 };
    expect(guest.setTimes("a", 1n, 2n, ATIM | MTIM)).toBe(0);
    expect(guest.stat("a")).toMatchObject({ atim: 1n, mtim: 2n });
    expect(guest.setTimes("l", 3n, 4n, ATIM | MTIM)).toBe(0);
    expect([guest.stat("a").atim, guest.stat("l").atim]).toEqual([1n, 3n]);
    expect(guest.setTimes("l", 5n, 6n, ATIM, FOLLOW)).toBe(0);
    expect(guest.stat("a")).toMatchObject({ atim: 5n, mtim: 2n });
    expect(guest.setTimes("a", 0n, 0n, MTIM_NOW)).toBe(0);
    expect(guest.stat("a")).toMatchObject({ atim: 5n, mtim: 946_684_800n * SECOND });
    for (const both of [ATIM | ATIM_NOW, MTIM | MTIM_NOW, 16]) {
      expect(guest.setTimes("a", 0n, 0n, both)).toBe(ERRNO_INVAL);
    }
    const { fd } = guest.open("a");
    expect(guest.call("fd_filestat_set_times", fd, 7n, 8n, ATIM | MTIM)).toBe(0);
    expect(guest.fstat(fd)).toMatchObject({ atim: 7n, mtim: 8n, dev: 1n });
  });
});

describe("poll_oneoff", () => {
  test("waits for the first clock, by its own time exactly", async () => {
    const guest = start();
    const before = guest.clock(1).time;
    const { errno, events } = await guest.poll([
      { userdata: 1n, timeout: 3_000_000n },
      { userdata: 2n, timeout: 1_000_000n },
      { userdata: 3n, timeout: before + 1_000_000n, flags: 1 },
    ]);
    expect(errno).toBe(0);
    expect(events.map(({ userdata }) => userdata)).toEqual([2n, 3n]);
    expect(guest.clock(1).time - before).toBe(1_000_000n);
  });

  test("what is ready is reported at once, with the bytes available; a bad descriptor is an event of its own", async () => {
    const guest = start({}, { stdin: new Uint8Array(5) });
    const file = create(guest, "a", "xyz");
    guest.seek(file, 1n, wasi.WHENCE_SET);
    const { events } = await guest.poll([
      { userdata: 1n, timeout: SECOND },
      { userdata: 2n, fd: 0 },
      { userdata: 3n, fd: 1, write: true },
      { userdata: 4n, fd: file },
      { userdata: 5n, fd: 99 },
      { userdata: 6n, timeout: 0n },
    ]);
    expect(events).toEqual([
      { userdata: 2n, error: 0, type: 1, bytes: 5n },
      { userdata: 3n, error: 0, type: 2, bytes: 0n },
      { userdata: 4n, error: 0, type: 1, bytes: 2n },
      { userdata: 5n, error: ERRNO_BADF, type: 1, bytes: 0n },
      { userdata: 6n, error: 0, type: 0, bytes: 0n },
    ]);
  });

  test("waiting for nothing, or for too much, is EINVAL", async () => {
    const guest = start();
    expect((await guest.poll([])).errno).toBe(ERRNO_INVAL);
    expect(await guest.wait("poll_oneoff", 0, 0, 1025, 0)).toBe(ERRNO_INVAL);
    expect((await guest.poll([{ userdata: 1n, timeout: 0n, clock: 9 }])).errno).toBe(ERRNO_INVAL);
  });
});

describe("limits hold at their edge", () => {
  test("fileCount: every name counts, links too; moving one needs no second", () => {
    const guest = start({ fileCount: 4 });
    create(guest, "a");
    expect(guest.link("a", "b")).toBe(0);
    expect(guest.symlink("a", "c")).toBe(0);
    expect(guest.path("path_create_directory", "d")).toBe(0);
    expect(guest.link("a", "e")).toBe(ERRNO_NOSPC);
    expect(guest.symlink("a", "e")).toBe(ERRNO_NOSPC);
    expect(guest.path("path_create_directory", "e")).toBe(ERRNO_NOSPC);
    expect(guest.open("e", { oflags: OFLAGS_CREAT }).errno).toBe(ERRNO_NOSPC);
    expect(guest.rename("b", "d/b")).toBe(0);
    expect(guest.rename("c", "d/b")).toBe(0);
    expect(guest.link("a", "e")).toBe(0);
    expect(guest.link("a", "f")).toBe(ERRNO_NOSPC);
    expect(guest.volume.list()).toHaveLength(4);
  });

  test("fileBytes: the targets of links count, once for all their names", () => {
    const guest = start({ fileBytes: 10 });
    expect(guest.symlink("12345", "a")).toBe(0);
    expect(guest.link("a", "b")).toBe(0);
    expect(guest.volume.fileBytes).toBe(5);
    expect(guest.symlink("123456", "c")).toBe(ERRNO_NOSPC);
    expect(guest.symlink("12345", "c")).toBe(0);
    expect(guest.volume.fileBytes).toBe(10);
    expect(guest.path("path_unlink_file", "a")).toBe(0);
    expect(guest.volume.fileBytes).toBe(10);
    expect(guest.path("path_unlink_file", "b")).toBe(0);
    expect(guest.volume.fileBytes).toBe(5);
  });

  test("fileBytes: a link that cannot be created costs nothing", () => {
    const guest = start({ fileBytes: 10, fileCount: 1 });
    create(guest, "a");
    expect(guest.symlink("12345", "b")).toBe(ERRNO_NOSPC);
    expect(guest.symlink("12345", "a")).toBe(wasi.ERRNO_EXIST);
    expect(guest.volume.fileBytes).toBe(0);
  });

  test("openFiles: n are opened, the next is EMFILE and creates nothing", () => {
    const guest = start({ openFiles: 6 });
    expect([create(guest, "a"), create(guest, "b")]).toEqual([4, 5]);
    expect(guest.open("c", { oflags: OFLAGS_CREAT }).errno).toBe(wasi.ERRNO_MFILE);
    expect(guest.stat("c").errno).toBe(ERRNO_NOENT);
    guest.call("fd_close", 4);
    expect(create(guest, "c")).toBe(4);
    guest.call("fd_renumber", 4, 5);
    expect(create(guest, "d")).toBe(4);
    expect(guest.open("e", { oflags: OFLAGS_CREAT }).errno).toBe(wasi.ERRNO_MFILE);
  });
});
