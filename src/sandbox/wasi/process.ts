import { wasi } from "@bjorn3/browser_wasi_shim";
import type { Limits } from "../../limits.ts";
import type { Meter } from "../../meter/index.ts";
import type { RunRequest } from "../../protocol/messages.ts";
import { type Awaitable, Halt, type Outside } from "../bridge.ts";
import type { Description, Stat } from "../fs/description.ts";
import { OpenDirectory, RootDirectory } from "../fs/descriptors.ts";
import { CallDevice, Input, type Outlet, Output, Stream } from "../fs/devices.ts";
import type { Volume } from "../fs/volume.ts";
import { TRAP } from "../gate.ts";
import { type Clock, RealClock, VirtualClock } from "./clock.ts";
import { Errno, fail } from "./errno.ts";
import { type GuestMemory, stringsSize } from "./memory.ts";
import { RandomStream } from "./random.ts";
import * as right from "./rights.ts";

/** Bytes of the structures of WASI preview 1. */
const FDSTAT_BYTES = 24;
const FILESTAT_BYTES = 64;
const PRESTAT_BYTES = 8;
const DIRENT_BYTES = 24;
const SUBSCRIPTION_BYTES = 48;
const EVENT_BYTES = 32;
/** The most subscriptions one `poll_oneoff` takes. */
const MAX_SUBSCRIPTIONS = 1024;
const NS_PER_MS = 1_000_000n;
/** System calls between two looks at the time; those that may be long take a look each. */
const CALLS_PER_PACE = 256;
const LONG = /^(path_|random_|fd_(p?read|p?write|readdir|allocate|filestat_set_size))/;
/** The most random bytes that one call draws: they take their time. */
const MAX_RANDOM = 2 ** 20;

/** An entry of the descriptor table. Rights only ever become fewer. */
interface Descriptor {
  file: Description;
  base: bigint;
  inheriting: bigint;
}

/** A file or directory as it is opened, with those of the rights that make sense for it. */
function descriptorOf(file: Description, base = -1n, inheriting = -1n): Descriptor {
  return { file, base: base & file.rights, inheriting: inheriting & file.inheriting };
}

/** What is not an errno is success. */
type SystemCall = (...args: never[]) => Awaitable<unknown>;

export interface Process {
  /** What the guest's imports call, by name; each gives an i32 for the gate. */
  host: Record<string, (...args: never[]) => Awaitable<number>>;
  /** Those of `host` that may wait. */
  waits: ReadonlySet<string>;
  /**
   * Gives the process the meter of its instance, which is there only once the instance is.
   *
   * @param pace called now and then from system calls: time passes in them that the meter does not count
   */
  attach(meter: Meter, pace: () => void): void;
  /**
   * Begins a run, or another call of the same instance: new standard streams, arguments and random bytes. What the guest
   * has open stays open, and its clocks go on.
   */
  begin(request: RunRequest, outlet: Outlet, outside: Outside): void;
  /** Why the run was ended from inside a system call, if it was. */
  ended(): { exitCode: number } | Halt | undefined;
  /** Closes what the guest left open, and lets go of its instance. */
  close(): void;
  /** What of a run changes while it is at work, live: a replay keeps a copy. Not while a system call is at work. */
  save(): ProcessState;
  /** Goes on from there, in a run that has begun as that one did. */
  restore(state: ProcessState): void;
}

export interface ProcessState {
  fds: (Descriptor | undefined)[];
  open: number;
  clock: Clock | undefined;
  random: RandomStream;
  answer: Uint8Array | undefined;
  /** Where it prints: each run has its own. */
  outlet: Outlet;
}

/**
 * WASI preview 1 (snapshot-01) and the `vak` imports for one instance. Every argument is checked here.
 */
export function createProcess(limits: Limits, volume: Volume, memory: GuestMemory): Process {
  let args: string[];
  let env: string[];
  let run: number;
  let outlet: Outlet;
  let outside: Outside;
  let clock: Clock | undefined;
  let random: RandomStream;
  let meter: Meter | undefined;
  let pace = () => {};

  const ask = (bytes: Uint8Array<ArrayBuffer>): Awaitable<Uint8Array> => {
    outlet.flush();
    return outside.ask(run, bytes);
  };
  volume.device("vak", () => new CallDevice(limits.callBytes, ask));

  const fds: (Descriptor | undefined)[] = [undefined, undefined, undefined, descriptorOf(new RootDirectory(volume))];
  let open = 1;
  let ended: { exitCode: number } | Halt | undefined;
  let answer: Uint8Array | undefined;

  const descriptor = (fd: number): Descriptor => fds[fd] ?? fail(wasi.ERRNO_BADF);
  const get = (fd: number, wanted = 0n): Description => {
    const { file: found, base } = descriptor(fd);
    if ((base & wanted) === wanted) return found;
    // As POSIX has it, where POSIX has it.
    if (wanted & (right.RIGHT_FD_READ | right.RIGHT_FD_WRITE)) fail(wasi.ERRNO_BADF);
    fail(found instanceof Stream ? wasi.ERRNO_SPIPE : wasi.ERRNO_NOTCAPABLE);
  };
  /** Of a descriptor that is no socket, since none is. */
  const socket = (fd: number): number => (get(fd) instanceof OpenDirectory ? wasi.ERRNO_BADF : wasi.ERRNO_NOTSOCK);
  const directory = (fd: number, wanted: bigint): OpenDirectory => {
    const { file: found, base } = descriptor(fd);
    if (!(found instanceof OpenDirectory)) fail(wasi.ERRNO_NOTDIR);
    return (base & wanted) === wanted ? found : fail(wasi.ERRNO_NOTCAPABLE);
  };
  const time = (id: number): bigint => {
    if (id === wasi.CLOCKID_REALTIME) return clock!.realtime();
    if (id === wasi.CLOCKID_MONOTONIC) return clock!.monotonic();
    if (id === wasi.CLOCKID_PROCESS_CPUTIME_ID || id === wasi.CLOCKID_THREAD_CPUTIME_ID) return clock!.cpu();
    fail(wasi.ERRNO_INVAL);
  };
  const writeStat = (ptr: number, stat: Stat) => {
    const view = memory.view(ptr, FILESTAT_BYTES);
    view.setBigUint64(0, 1n, true);
    view.setBigUint64(8, stat.ino, true);
    view.setBigUint64(16, BigInt(stat.filetype), true);
    view.setBigUint64(24, stat.nlink, true);
    view.setBigUint64(32, BigInt(stat.size), true);
    view.setBigUint64(40, stat.accessed, true);
    view.setBigUint64(48, stat.modified, true);
    view.setBigUint64(56, stat.changed, true);
  };
  const read = (iovsPtr: number, iovsLen: number, nreadPtr: number, from: (size: number) => Uint8Array) => {
    const iovs = memory.iovs(iovsPtr, iovsLen);
    memory.view(nreadPtr, 4);
    const wanted = iovs.reduce((sum, span) => sum + span.len, 0);
    const data = from(Math.min(wanted, memory.byteLength));
    memory.scatter(iovs, data);
    memory.setU32(nreadPtr, data.byteLength);
  };

  const calls: Record<string, SystemCall> = {
    args_get: (argv: number, buf: number) => memory.strings(argv, buf, args),
    args_sizes_get: (count: number, size: number) => {
      memory.setU32(count, args.length);
      memory.setU32(size, stringsSize(args));
    },
    environ_get: (environ: number, buf: number) => memory.strings(environ, buf, env),
    environ_sizes_get: (count: number, size: number) => {
      memory.setU32(count, env.length);
      memory.setU32(size, stringsSize(env));
    },

    clock_res_get: (id: number, ptr: number) => {
      time(id);
      memory.setU64(ptr, clock!.resolution);
    },
    clock_time_get: (id: number, _precision: bigint, ptr: number) => memory.setU64(ptr, time(id)),

    fd_advise: (fd: number, _offset: bigint, _len: bigint, advice: number) => {
      get(fd, right.RIGHT_FD_ADVISE);
      if (advice >>> 0 > wasi.ADVICE_NOREUSE) fail(wasi.ERRNO_INVAL);
    },
    fd_allocate: (fd: number, offset: bigint, len: bigint) => get(fd, right.RIGHT_FD_ALLOCATE).allocate(offset, len),
    fd_close: (fd: number) => {
      const closing = get(fd);
      fds[fd] = undefined;
      open--;
      closing.close();
    },
    fd_datasync: (fd: number) => void get(fd, right.RIGHT_FD_DATASYNC),
    fd_fdstat_get: (fd: number, ptr: number) => {
      const { file, base, inheriting } = descriptor(fd);
      const view = memory.view(ptr, FDSTAT_BYTES);
      view.setUint16(0, file.filetype, true);
      view.setUint32(2, file.flags, true);
      view.setBigUint64(8, base, true);
      view.setBigUint64(16, inheriting, true);
    },
    fd_fdstat_set_flags: (fd: number, flags: number) => {
      if (flags >>> 0 > 31) fail(wasi.ERRNO_INVAL);
      const file = get(fd, right.RIGHT_FD_FDSTAT_SET_FLAGS);
      if (file.filetype === wasi.FILETYPE_REGULAR_FILE) file.flags = flags;
    },
    fd_fdstat_set_rights: (fd: number, base: bigint, inheriting: bigint) => {
      const found = descriptor(fd);
      if (base & ~found.base || inheriting & ~found.inheriting) fail(wasi.ERRNO_NOTCAPABLE);
      found.base = base;
      found.inheriting = inheriting;
    },
    fd_filestat_get: (fd: number, ptr: number) => writeStat(ptr, get(fd, right.RIGHT_FD_FILESTAT_GET).stat()),
    fd_filestat_set_size: (fd: number, size: bigint) => get(fd, right.RIGHT_FD_FILESTAT_SET_SIZE).resize(size),
    fd_filestat_set_times: (fd: number, atim: bigint, mtim: bigint, flags: number) =>
      get(fd, right.RIGHT_FD_FILESTAT_SET_TIMES).setTimes(atim, mtim, flags),
    fd_pread: (fd: number, iovs: number, len: number, offset: bigint, nread: number) => {
      const file = get(fd, right.RIGHT_FD_READ);
      read(iovs, len, nread, (size) => file.pread(size, offset));
    },
    fd_prestat_dir_name: (fd: number, ptr: number, len: number) => {
      const found = get(fd);
      if (!(found instanceof RootDirectory)) fail(wasi.ERRNO_BADF);
      const { name } = found;
      if (len >>> 0 < name.byteLength) fail(wasi.ERRNO_NAMETOOLONG);
      memory.write(ptr, name);
    },
    fd_prestat_get: (fd: number, ptr: number) => {
      const found = get(fd);
      if (!(found instanceof RootDirectory)) fail(wasi.ERRNO_BADF);
      const view = memory.view(ptr, PRESTAT_BYTES);
      view.setUint32(0, 0, true); // a directory
      view.setUint32(4, found.name.byteLength, true);
    },
    fd_pwrite: (fd: number, iovs: number, len: number, offset: bigint, nwritten: number) => {
      const file = get(fd, right.RIGHT_FD_WRITE);
      const data = memory.gather(memory.iovs(iovs, len));
      memory.view(nwritten, 4);
      memory.setU32(nwritten, file.pwrite(data, offset));
    },
    fd_read: (fd: number, iovs: number, len: number, nread: number) => {
      const file = get(fd, right.RIGHT_FD_READ);
      read(iovs, len, nread, (size) => file.read(size));
    },
    fd_readdir: (fd: number, buf: number, len: number, cookie: bigint, used: number) => {
      const dir = directory(fd, right.RIGHT_FD_READDIR);
      const target = memory.bytes(buf, len);
      memory.view(used, 4);
      let at = 0;
      for (let next = BigInt.asUintN(64, cookie); at < target.byteLength; next++) {
        const found = dir.entry(next);
        if (!found) break;
        const entry = new Uint8Array(DIRENT_BYTES + found.name.byteLength);
        const view = new DataView(entry.buffer);
        view.setBigUint64(0, found.next, true);
        view.setBigUint64(8, found.ino, true);
        view.setUint32(16, found.name.byteLength, true);
        view.setUint8(20, found.filetype);
        entry.set(found.name, DIRENT_BYTES);
        // A last entry that does not fit is cut: that the buffer is full tells the guest that there is more.
        const fits = entry.subarray(0, target.byteLength - at);
        target.set(fits, at);
        at += fits.byteLength;
      }
      memory.setU32(used, at);
    },
    fd_renumber: (from: number, to: number) => {
      const moving = descriptor(from);
      const replaced = descriptor(to);
      if (from === to) return;
      replaced.file.close();
      fds[to] = moving;
      fds[from] = undefined;
      open--;
    },
    fd_seek: (fd: number, by: bigint, whence: number, ptr: number) => {
      memory.view(ptr, 8);
      const told = by === 0n && whence === wasi.WHENCE_CUR;
      memory.setU64(ptr, get(fd, told ? right.RIGHT_FD_TELL : right.RIGHT_FD_SEEK).seek(by, whence));
    },
    fd_sync: (fd: number) => void get(fd, right.RIGHT_FD_SYNC),
    fd_tell: (fd: number, ptr: number) => memory.setU64(ptr, get(fd, right.RIGHT_FD_TELL).seek(0n, wasi.WHENCE_CUR)),
    fd_write: (fd: number, iovs: number, len: number, nwritten: number) => {
      const file = get(fd, right.RIGHT_FD_WRITE);
      const data = memory.gather(memory.iovs(iovs, len));
      memory.view(nwritten, 4);
      if (!(file instanceof CallDevice)) return memory.setU32(nwritten, file.write(data));
      const taken = file.call(data);
      if (!(taken instanceof Promise)) return memory.setU32(nwritten, taken);
      return taken.then((count) => memory.setU32(nwritten, count));
    },

    path_create_directory: (fd: number, ptr: number, len: number) =>
      directory(fd, right.RIGHT_PATH_CREATE_DIRECTORY).mkdir(memory.path(ptr, len)),
    path_filestat_get: (fd: number, flags: number, ptr: number, len: number, out: number) =>
      writeStat(out, directory(fd, right.RIGHT_PATH_FILESTAT_GET).statAt(flags, memory.path(ptr, len))),
    path_filestat_set_times: (
      fd: number,
      flags: number,
      ptr: number,
      len: number,
      atim: bigint,
      mtim: bigint,
      fst: number,
    ) => directory(fd, right.RIGHT_PATH_FILESTAT_SET_TIMES).setTimesAt(flags, memory.path(ptr, len), atim, mtim, fst),
    path_link: (fd: number, flags: number, ptr: number, len: number, to: number, toPtr: number, toLen: number) => {
      const from = directory(fd, right.RIGHT_PATH_LINK_SOURCE);
      // A link to a symbolic link is one to the link itself.
      if (flags !== 0) fail(wasi.ERRNO_INVAL);
      from.link(memory.path(ptr, len), directory(to, right.RIGHT_PATH_LINK_TARGET), memory.path(toPtr, toLen));
    },
    path_open: (
      fd: number,
      lookup: number,
      ptr: number,
      len: number,
      oflags: number,
      rights: bigint,
      inheriting: bigint,
      flags: number,
      out: number,
    ) => {
      const needed =
        right.RIGHT_PATH_OPEN |
        (oflags & wasi.OFLAGS_CREAT ? right.RIGHT_PATH_CREATE_FILE : 0n) |
        (oflags & wasi.OFLAGS_TRUNC ? right.RIGHT_PATH_FILESTAT_SET_SIZE : 0n);
      const dir = directory(fd, needed);
      const path = memory.path(ptr, len);
      memory.view(out, 4);
      if (oflags >>> 0 > 15 || flags >>> 0 > 31) fail(wasi.ERRNO_INVAL);
      if (open >= limits.openFiles) fail(wasi.ERRNO_MFILE);
      const inherited = descriptor(fd).inheriting;
      const file = dir.openAt(lookup, path, oflags, flags, (rights & inherited & right.RIGHT_FD_WRITE) !== 0n);
      if (file instanceof OpenDirectory && rights & right.RIGHT_FD_WRITE) fail(wasi.ERRNO_ISDIR);
      // Of what was asked for, that which the directory may hand on and the file can do.
      let slot = fds.indexOf(undefined);
      if (slot < 0) slot = fds.length;
      fds[slot] = descriptorOf(file, rights & inherited, inheriting & inherited);
      open++;
      memory.setU32(out, slot);
    },
    path_readlink: (fd: number, ptr: number, len: number, buf: number, bufLen: number, used: number) => {
      const target = memory.bytes(buf, bufLen);
      memory.view(used, 4);
      const link = directory(fd, right.RIGHT_PATH_READLINK)
        .readlink(memory.path(ptr, len))
        .subarray(0, target.byteLength);
      target.set(link);
      memory.setU32(used, link.byteLength);
    },
    path_remove_directory: (fd: number, ptr: number, len: number) =>
      directory(fd, right.RIGHT_PATH_REMOVE_DIRECTORY).rmdir(memory.path(ptr, len)),
    path_rename: (fd: number, ptr: number, len: number, to: number, toPtr: number, toLen: number) =>
      directory(fd, right.RIGHT_PATH_RENAME_SOURCE).rename(
        memory.path(ptr, len),
        directory(to, right.RIGHT_PATH_RENAME_TARGET),
        memory.path(toPtr, toLen),
      ),
    path_symlink: (targetPtr: number, targetLen: number, fd: number, ptr: number, len: number) =>
      directory(fd, right.RIGHT_PATH_SYMLINK).symlink(memory.path(targetPtr, targetLen), memory.path(ptr, len)),
    path_unlink_file: (fd: number, ptr: number, len: number) =>
      directory(fd, right.RIGHT_PATH_UNLINK_FILE).unlink(memory.path(ptr, len)),

    poll_oneoff: (subscriptions: number, events: number, count: number, out: number) => {
      if (count === 0 || count >>> 0 > MAX_SUBSCRIPTIONS) fail(wasi.ERRNO_INVAL);
      const view = memory.view(subscriptions, count * SUBSCRIPTION_BYTES);
      memory.bytes(events, count * EVENT_BYTES);
      memory.view(out, 4);
      const ready: { userdata: bigint; type: number; error: number; bytes: bigint }[] = [];
      const clocks: { userdata: bigint; wait: bigint }[] = [];
      for (let at = 0; at < view.byteLength; at += SUBSCRIPTION_BYTES) {
        const userdata = view.getBigUint64(at, true);
        const type = view.getUint8(at + 8);
        if (type === wasi.EVENTTYPE_CLOCK) {
          const now = time(view.getUint32(at + 16, true));
          const timeout = view.getBigUint64(at + 24, true);
          const absolute = (view.getUint16(at + 40, true) & wasi.SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME) !== 0;
          clocks.push({ userdata, wait: absolute ? (timeout > now ? timeout - now : 0n) : timeout });
        } else if (type === wasi.EVENTTYPE_FD_READ || type === wasi.EVENTTYPE_FD_WRITE) {
          // Everything a guest can open is ready at once: files, a stdin that is all there, output.
          const found = fds[view.getUint32(at + 16, true)];
          const error = !found
            ? wasi.ERRNO_BADF
            : found.base & right.RIGHT_POLL_FD_READWRITE
              ? 0
              : wasi.ERRNO_NOTCAPABLE;
          const bytes = !error && type === wasi.EVENTTYPE_FD_READ ? found!.file.readable : 0;
          ready.push({ userdata, type, error, bytes: BigInt(bytes) });
        } else {
          fail(wasi.ERRNO_INVAL);
        }
      }
      const report = () => {
        ready.forEach(({ userdata, type, error, bytes }, i) => {
          const event = memory.view(events + i * EVENT_BYTES, EVENT_BYTES);
          event.setBigUint64(0, userdata, true);
          event.setUint16(8, error, true);
          event.setUint32(10, type, true);
          event.setBigUint64(16, bytes, true);
          event.setBigUint64(24, 0n, true);
        });
        memory.setU32(out, ready.length);
      };
      // With something ready, only the clocks that have run out already are of interest.
      let wait = ready.length > 0 ? 0n : clocks[0]!.wait;
      for (const it of clocks) if (it.wait < wait) wait = it.wait;
      for (const it of clocks) {
        if (it.wait === wait) ready.push({ userdata: it.userdata, type: wasi.EVENTTYPE_CLOCK, error: 0, bytes: 0n });
      }
      if (wait === 0n) return report();
      clock!.sleep(wait);
      outlet.flush();
      const slept = outside.sleep(Number(wait / NS_PER_MS));
      return slept instanceof Promise ? slept.then(report) : report();
    },

    proc_exit: (code: number) => {
      ended ??= { exitCode: code >>> 0 };
      return TRAP;
    },
    proc_raise: () => wasi.ERRNO_NOSYS,
    random_get: (ptr: number, len: number) => {
      if (len >>> 0 > MAX_RANDOM) fail(wasi.ERRNO_INVAL);
      random.fill(memory.bytes(ptr, len));
    },
    sched_yield: () => {},
    sock_accept: socket,
    sock_recv: socket,
    sock_send: socket,
    sock_shutdown: socket,

    call: (ptr: number, len: number) => {
      if (len >>> 0 > limits.callBytes) return -wasi.ERRNO_2BIG;
      const request = memory.bytes(ptr, len).slice();
      const take = (bytes: Uint8Array) => {
        answer = bytes;
        return bytes.byteLength;
      };
      const answered = ask(request);
      return answered instanceof Promise ? answered.then(take) : take(answered);
    },
    answer: (ptr: number) => {
      if (!answer) return -wasi.ERRNO_NOMSG;
      memory.write(ptr, answer);
      return answer.byteLength;
    },
  };

  /** The vak functions give a length or a negative errno; WASI's give an errno. */
  const guard = (name: string, systemCall: SystemCall) => {
    const code = (result: unknown): number => (typeof result === "number" ? result : 0);
    const failed = (error: unknown): number => {
      if (error instanceof Halt) {
        ended ??= error;
        return TRAP;
      }
      // What is not an errno is a fault of the host's, an allocation that failed above all.
      const errno =
        error instanceof Errno ? error.errno : error instanceof RangeError ? wasi.ERRNO_NOMEM : wasi.ERRNO_IO;
      return name === "call" || name === "answer" ? -errno : errno;
    };
    const long = LONG.test(name);
    return (...args: never[]): Awaitable<number> => {
      if (ended || meter?.exhausted) return TRAP;
      try {
        if (outside.enter() % CALLS_PER_PACE === 0 || long) pace();
        const result = systemCall(...args);
        return result instanceof Promise ? result.then(code, failed) : code(result);
      } catch (error) {
        return failed(error);
      }
    };
  };

  return {
    host: Object.fromEntries(Object.entries(calls).map(([name, systemCall]) => [name, guard(name, systemCall)])),
    waits: new Set(["call", "fd_write", "poll_oneoff"]),
    begin: (request, output, from) => {
      outlet = output;
      outside = from;
      run = request.run;
      args = request.args;
      env = Object.entries(request.env).map(([name, value]) => `${name}=${value}`);
      random = new RandomStream(request.seed, run);
      const fuel = () => meter?.used ?? 0;
      clock =
        request.clock === "real"
          ? new RealClock(() => outside.now(), fuel, clock)
          : new VirtualClock(request.startTime, fuel, clock);
      volume.now = () => clock!.stamp();
      [new Input(request.stdin), new Output(outlet, 1), new Output(outlet, 2)].forEach((stream, fd) => {
        if (!fds[fd]) open++;
        fds[fd] = descriptorOf(stream);
      });
    },
    attach: (of, paced) => {
      meter = of;
      pace = paced;
    },
    ended: () => ended,
    close: () => {
      for (const it of fds) it?.file.close();
      // The files outlive it, and know its clock and its device.
      const last = clock!.stamp();
      volume.now = () => last;
      memory.release();
      meter = undefined;
      pace = () => {};
    },
    save: () => ({ fds: [...fds], open, clock, random, answer, outlet }),
    restore: (state) => {
      fds.splice(0, fds.length, ...state.fds);
      ({ open, clock, random, answer } = state);
      ended = undefined;
    },
  };
}
