/** Random system calls against a model of the file system. */
import { wasi } from "@bjorn3/browser_wasi_shim";
import fc from "fast-check";
import { expect, test } from "vitest";
import { fuzzFactor } from "../../setup/fuzz.ts";
import { ALL, Guest } from "./guest.ts";
import { Model, Refused } from "./model.ts";

const LIMITS = { fileBytes: 64, fileCount: 8 };
const FOLLOW = 1;
/** A descriptor that is never open. */
const CLOSED = 9999;

/** Names collide on purpose, links lead to them, and paths leave the root now and then. */
const path = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom("a", "b", "c", "a/b", "b/a", "a/c", "b/c") },
  { weight: 3, arbitrary: fc.stringMatching(/^([abc.]|\.\.)(\/{1,2}([abc.]|\.\.)){0,3}\/?$/) },
  { weight: 1, arbitrary: fc.constantFrom("", "/", "/a", "a/", "./a", "a/.", "a/..", "../a", "c/../../b") },
);
const one = fc.boolean();
const mostly = fc.nat(4).map((it) => it > 0);
const rarely = fc.nat(4).map((it) => it === 0);
const some = fc.nat(40);
const step = fc.oneof(
  fc.record({ does: fc.constantFrom("mkdir", "rmdir", "unlink", "readdir", "readlink" as const), path }),
  fc.record({ does: fc.constant("stat" as const), path, follow: one }),
  fc.record({ does: fc.constantFrom("link", "rename", "symlink" as const), path, other: path }),
  fc.record({
    does: fc.constant("open" as const),
    path,
    create: mostly,
    exclusive: rarely,
    truncate: rarely,
    append: one,
    follow: one,
  }),
  fc.record({
    does: fc.constantFrom("write", "read", "pread", "pwrite", "truncate", "close", "allocate" as const),
    which: fc.nat(9),
    size: some,
    at: some,
  }),
  fc.record({
    does: fc.constant("seek" as const),
    which: fc.nat(9),
    by: fc.integer({ min: -20, max: 40 }),
    whence: fc.nat(2),
  }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const made = { create: true, exclusive: false, truncate: false, append: false, follow: true };
/**
 * What is there when a sequence begins: nothing; files and directories; links, of which one leads out and two in a
 * ring.
 */
const BEGINNINGS: Step[][] = [
  [],
  [
    { does: "mkdir", path: "a" },
    { does: "open", path: "a/b", ...made },
    { does: "open", path: "b", ...made },
  ],
  [
    { does: "mkdir", path: "b" },
    { does: "symlink", path: "b", other: "a" },
    { does: "symlink", path: "../c", other: "b/a" },
    { does: "open", path: "c", ...made },
  ],
  [
    { does: "symlink", path: "b/a", other: "c" },
    { does: "symlink", path: "c", other: "a" },
    { does: "mkdir", path: "b" },
    { does: "symlink", path: "../..", other: "b/c" },
  ],
];

const ERRNO = Object.fromEntries(
  Object.entries(wasi).flatMap(([name, value]) =>
    name.startsWith("ERRNO_") ? [[name.slice(6), value as number]] : [],
  ),
);
const NAME = Object.fromEntries(Object.entries(ERRNO).map(([name, value]) => [value, name]));

const KIND = { file: wasi.FILETYPE_REGULAR_FILE, directory: wasi.FILETYPE_DIRECTORY, link: 7 };

/** What the step gives, or the name of its errno. */
type Outcome = unknown;

class Pair {
  readonly guest = new Guest({ ...LIMITS, openFiles: 256 });
  readonly model = new Model(LIMITS);
  /** Descriptors, in the order in which the model has its open files. */
  readonly fds: number[] = [];
  #wrote = 0;

  step(it: Step): [real: Outcome, expected: Outcome] {
    switch (it.does) {
      case "mkdir":
        return [
          this.#named(this.guest.path("path_create_directory", it.path)),
          this.#modelled((m) => m.mkdir(it.path)),
        ];
      case "rmdir":
        return [
          this.#named(this.guest.path("path_remove_directory", it.path)),
          this.#modelled((m) => m.rmdir(it.path)),
        ];
      case "unlink":
        return [this.#named(this.guest.path("path_unlink_file", it.path)), this.#modelled((m) => m.unlink(it.path))];
      case "readlink": {
        const { errno, target } = this.guest.readlink(it.path);
        return [errno ? this.#named(errno) : target, this.#modelled((m) => m.readlink(it.path))];
      }
      case "readdir": {
        const { errno, fd } = this.guest.open(it.path, { lookup: FOLLOW, oflags: wasi.OFLAGS_DIRECTORY });
        const real = errno ? this.#named(errno) : this.#names(fd);
        if (!errno) this.guest.call("fd_close", fd);
        return [real, this.#modelled((m) => m.names_of(it.path))];
      }
      case "stat": {
        const stat = this.guest.stat(it.path, it.follow ? FOLLOW : 0);
        const real = stat.errno
          ? this.#named(stat.errno)
          : [stat.type, stat.type === KIND.directory ? 0 : Number(stat.size), Number(stat.nlink)];
        const expected = this.#modelled((m) => {
          const node = m.stat(it.path, it.follow);
          const size = node.kind === "file" ? node.data.length : node.kind === "link" ? node.target.length : 0;
          return [KIND[node.kind], size, m.links(node)];
        });
        return [real, expected];
      }
      case "link":
        return [this.#named(this.guest.link(it.path, it.other)), this.#modelled((m) => m.link(it.path, it.other))];
      case "rename":
        return [this.#named(this.guest.rename(it.path, it.other)), this.#modelled((m) => m.rename(it.path, it.other))];
      case "symlink":
        return [
          this.#named(this.guest.symlink(it.path, it.other)),
          this.#modelled((m) => m.symlink(it.path, it.other)),
        ];
      case "open":
        return this.#open(it);
      default:
        return this.#use(it);
    }
  }

  #open(it: Extract<Step, { does: "open" }>): [Outcome, Outcome] {
    const oflags =
      (it.create ? wasi.OFLAGS_CREAT : 0) |
      (it.exclusive ? wasi.OFLAGS_EXCL : 0) |
      (it.truncate ? wasi.OFLAGS_TRUNC : 0);
    const flags = it.append ? wasi.FDFLAGS_APPEND : 0;
    const opened = this.guest.open(it.path, { lookup: it.follow ? FOLLOW : 0, oflags, flags, base: ALL });
    const expected = this.#modelled((m) => m.open(it.path, it));
    if (!opened.errno) this.fds.push(opened.fd);
    return [opened.errno ? this.#named(opened.errno) : this.fds.length - 1, expected];
  }

  #use(it: Extract<Step, { which: number }>): [Outcome, Outcome] {
    const which = this.fds.length ? it.which % this.fds.length : 0;
    const file = this.model.opened[which];
    const fd = this.fds[which] ?? CLOSED;
    if (!file) return [this.#named(this.guest.call("fd_sync", fd)), "BADF"];
    const { guest, model } = this;
    if (it.does === "seek") {
      const { errno, position } = guest.seek(fd, BigInt(it.by), it.whence);
      const from = [0, file.position, file.file.data.length][it.whence]!;
      if (from + it.by < 0) return [this.#named(errno), "INVAL"];
      file.position = from + it.by;
      return [errno ? this.#named(errno) : Number(position), file.position];
    }
    // Never twice the same bytes, so that a wrong place shows.
    const data = Array.from({ length: it.size }, () => (this.#wrote++ % 255) + 1);
    switch (it.does) {
      case "write": {
        const { errno, count } = guest.write(fd, Uint8Array.from(data));
        return [errno ? this.#named(errno) : count, this.#modelled((m) => m.write(file, data))];
      }
      case "pwrite": {
        const { errno, count } = guest.write(fd, Uint8Array.from(data), BigInt(it.at));
        const expected = this.#modelled((m) => m.writeAt(file.file, it.at, data));
        return [errno ? this.#named(errno) : count, expected];
      }
      case "read": {
        const { errno, data } = guest.read(fd, it.size);
        const expected = file.file.data.slice(file.position, file.position + it.size);
        file.position += expected.length;
        return [errno ? this.#named(errno) : [...data], expected];
      }
      case "pread": {
        const { errno, data } = guest.read(fd, it.size, BigInt(it.at));
        return [errno ? this.#named(errno) : [...data], file.file.data.slice(it.at, it.at + it.size)];
      }
      case "truncate": {
        const errno = guest.call("fd_filestat_set_size", fd, BigInt(it.size));
        return [this.#named(errno), this.#modelled((m) => m.truncate(file, it.size))];
      }
      case "allocate": {
        const errno = guest.call("fd_allocate", fd, BigInt(it.at), BigInt(it.size));
        if (it.size === 0) return [this.#named(errno), "INVAL"];
        const end = Math.max(file.file.data.length, it.at + it.size);
        return [this.#named(errno), this.#modelled((m) => m.truncate(file, end))];
      }
      default:
        model.opened[which] = undefined;
        this.fds[which] = CLOSED; // its number may be given out again
        return [this.#named(guest.call("fd_close", fd)), undefined];
    }
  }

  /** What is in a directory; the kernel's own is not of the model. */
  #names(fd: number): string[] {
    const names = this.guest.readdir(fd).entries.map(({ name }) => name);
    return names.filter((name) => name !== "dev");
  }

  #named(errno: number): string | undefined {
    return errno === 0 ? undefined : (NAME[errno] ?? `errno ${errno}`);
  }

  #modelled(work: (model: Model) => unknown): Outcome {
    try {
      return work(this.model);
    } catch (error) {
      if (error instanceof Refused) return error.message;
      throw error;
    }
  }

  /** The tree as the guest's side has it. */
  tree(): string[] {
    const { volume } = this.guest;
    return volume.list().map(({ path, type, target }) => {
      if (type === "directory") return `directory ${path}`;
      return type === "symlink" ? `symlink ${path} ${target}` : `file ${path} ${[...volume.readFile(path)!]}`;
    });
  }
}

test("fuzz: any sequence of system calls does what the model of a file system does, to the errno and the byte", () => {
  let calls = 0;
  let refusals = 0;
  const runs = 1500 * fuzzFactor;
  const steps = fc.array(step, { minLength: 10, maxLength: 60, size: "max" });
  fc.assert(
    fc.property(fc.constantFrom(...BEGINNINGS), steps, (beginning, steps) => {
      const pair = new Pair();
      for (const it of [...beginning, ...steps]) {
        const [real, expected] = pair.step(it);
        calls++;
        if (typeof expected === "string" && it.does !== "readlink") refusals++;
        expect(real, JSON.stringify(it)).toEqual(expected);
        expect(pair.guest.volume.fileBytes, JSON.stringify(it)).toBe(pair.model.bytes);
      }
      expect(pair.tree()).toEqual(pair.model.list());
    }),
    { numRuns: runs },
  );
  console.log(`${calls} random system calls in ${runs} sequences, ${refusals} of them refused, agree with the model`);
});
