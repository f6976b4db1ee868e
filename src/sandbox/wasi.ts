import { type Fd, wasi } from "@bjorn3/browser_wasi_shim";
import type { Limits } from "../limits.ts";
import type { Meter } from "../meter/index.ts";
import type { RunRequest } from "../protocol.ts";
import { type Awaitable, Halt, type Outside } from "./bridge.ts";
import { VirtualClock } from "./clock.ts";
import { CallDevice, Input, type Outlet, Output } from "./devices.ts";
import { Errno, fail, ok } from "./errno.ts";
import { TRAP } from "./gate.ts";
import { type GuestMemory, stringsSize } from "./memory.ts";
import { randomStream } from "./random.ts";
import { OpenDirectory, RootDirectory, type Volume } from "./vfs.ts";

/** Bytes of the structures of WASI preview 1. */
const SIZE = { fdstat: 24, filestat: 64, prestat: 8, dirent: 24, subscription: 48, event: 32 };
/** The most subscriptions one `poll_oneoff` takes. */
const MAX_SUBSCRIPTIONS = 1024;
const NS_PER_MS = 1_000_000n;
/** System calls between two looks at the time. */
const CALLS_PER_PACE = 256;

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
  /** Why the run was ended from inside a system call, if it was. */
  ended(): { exitCode: number } | Halt | undefined;
  /** Closes what the guest left open. */
  close(): void;
}

/**
 * WASI preview 1 (snapshot-01) and the `vak` imports for one run. Descriptors and files are the shim's `Fd` and `Inode`,
 * in our own kinds; the system calls check every argument themselves, since the shim clips or trusts many of them.
 */
export function createProcess(
  request: RunRequest,
  limits: Limits,
  volume: Volume,
  memory: GuestMemory,
  outside: Outside,
  outlet: Outlet,
): Process {
  const args = request.args;
  const env = Object.entries(request.env).map(([name, value]) => `${name}=${value}`);
  let meter: Meter | undefined;
  let pace = () => {};
  const clock = new VirtualClock(request.startTime, () => meter?.used ?? 0);
  const random = randomStream(request.seed, request.run);
  volume.now = () => clock.realtime();

  const ask = (bytes: Uint8Array<ArrayBuffer>): Awaitable<Uint8Array> => {
    outlet.flush();
    return outside.ask(request.run, bytes);
  };
  volume.device("vak", () => new CallDevice(limits.callBytes, ask));

  const fds: (Fd | undefined)[] = [
    new Input(request.stdin),
    new Output(outlet, 1),
    new Output(outlet, 2),
    new RootDirectory(volume),
  ];
  let open = fds.length;
  let ended: { exitCode: number } | Halt | undefined;
  let answer: Uint8Array | undefined;

  const get = (fd: number): Fd => fds[fd] ?? fail(wasi.ERRNO_BADF);
  const directory = (fd: number): OpenDirectory => {
    const found = get(fd);
    return found instanceof OpenDirectory ? found : fail(wasi.ERRNO_NOTDIR);
  };
  const time = (id: number): bigint => {
    if (id === wasi.CLOCKID_REALTIME) return clock.realtime();
    if (id > wasi.CLOCKID_REALTIME && id <= wasi.CLOCKID_THREAD_CPUTIME_ID) return clock.monotonic();
    fail(wasi.ERRNO_INVAL);
  };
  const writeStat = (ptr: number, stat: wasi.Filestat | null) => {
    if (!stat) fail(wasi.ERRNO_BADF);
    const view = memory.view(ptr, SIZE.filestat);
    view.setBigUint64(0, 1n, true);
    view.setBigUint64(8, stat.ino, true);
    view.setBigUint64(16, BigInt(stat.filetype), true);
    view.setBigUint64(24, stat.nlink, true);
    view.setBigUint64(32, stat.size, true);
    view.setBigUint64(40, stat.atim, true);
    view.setBigUint64(48, stat.mtim, true);
    view.setBigUint64(56, stat.ctim, true);
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
      memory.setU64(ptr, 1000n);
    },
    clock_time_get: (id: number, _precision: bigint, ptr: number) => memory.setU64(ptr, time(id)),

    fd_advise: (fd: number, _offset: bigint, _len: bigint, advice: number) => {
      get(fd);
      if (advice >>> 0 > wasi.ADVICE_NOREUSE) fail(wasi.ERRNO_INVAL);
    },
    fd_allocate: (fd: number, offset: bigint, len: bigint) => get(fd).fd_allocate(offset, len),
    fd_close: (fd: number) => {
      const closing = get(fd);
      fds[fd] = undefined;
      open--;
      return closing.fd_close();
    },
    fd_datasync: (fd: number) => get(fd).fd_sync(),
    fd_fdstat_get: (fd: number, ptr: number) => {
      const { fdstat } = ok(get(fd).fd_fdstat_get());
      const view = memory.view(ptr, SIZE.fdstat);
      view.setUint16(0, fdstat!.fs_filetype, true);
      view.setUint32(2, fdstat!.fs_flags, true);
      view.setBigUint64(8, fdstat!.fs_rights_base, true);
      view.setBigUint64(16, fdstat!.fs_rights_inherited, true);
    },
    fd_fdstat_set_flags: (fd: number, flags: number) => {
      if (flags >>> 0 > 31) fail(wasi.ERRNO_INVAL);
      return get(fd).fd_fdstat_set_flags(flags);
    },
    fd_fdstat_set_rights: (fd: number, base: bigint, inheriting: bigint) =>
      get(fd).fd_fdstat_set_rights(base, inheriting),
    fd_filestat_get: (fd: number, ptr: number) => writeStat(ptr, ok(get(fd).fd_filestat_get()).filestat),
    fd_filestat_set_size: (fd: number, size: bigint) => get(fd).fd_filestat_set_size(size),
    fd_filestat_set_times: (fd: number, atim: bigint, mtim: bigint, flags: number) =>
      get(fd).fd_filestat_set_times(atim, mtim, flags),
    fd_pread: (fd: number, iovs: number, len: number, offset: bigint, nread: number) => {
      const file = get(fd);
      read(iovs, len, nread, (size) => ok(file.fd_pread(size, offset)).data);
    },
    fd_prestat_dir_name: (fd: number, ptr: number, len: number) => {
      const name = ok(get(fd).fd_prestat_get()).prestat!.inner.pr_name;
      if (len >>> 0 < name.byteLength) fail(wasi.ERRNO_NAMETOOLONG);
      memory.write(ptr, name);
    },
    fd_prestat_get: (fd: number, ptr: number) => {
      const found = get(fd);
      if (!(found instanceof RootDirectory)) fail(wasi.ERRNO_BADF);
      const { prestat } = ok(found.fd_prestat_get());
      const view = memory.view(ptr, SIZE.prestat);
      view.setUint32(0, wasi.PREOPENTYPE_DIR, true);
      view.setUint32(4, prestat!.inner.pr_name.byteLength, true);
    },
    fd_pwrite: (fd: number, iovs: number, len: number, offset: bigint, nwritten: number) => {
      const file = get(fd);
      const data = memory.gather(memory.iovs(iovs, len));
      memory.view(nwritten, 4);
      memory.setU32(nwritten, ok(file.fd_pwrite(data, offset)).nwritten);
    },
    fd_read: (fd: number, iovs: number, len: number, nread: number) => {
      const file = get(fd);
      read(iovs, len, nread, (size) => ok(file.fd_read(size)).data);
    },
    fd_readdir: (fd: number, buf: number, len: number, cookie: bigint, used: number) => {
      const dir = directory(fd);
      const target = memory.bytes(buf, len);
      memory.view(used, 4);
      let at = 0;
      for (let next = BigInt.asUintN(64, cookie); at < target.byteLength; next++) {
        const { dirent } = ok(dir.fd_readdir_single(next));
        if (!dirent) break;
        const entry = new Uint8Array(SIZE.dirent + dirent.name_length());
        dirent.write_head_bytes(new DataView(entry.buffer), 0);
        entry.set(dirent.dir_name, SIZE.dirent);
        // A last entry that does not fit is cut: that the buffer is full tells the guest that there is more.
        const fits = entry.subarray(0, target.byteLength - at);
        target.set(fits, at);
        at += fits.byteLength;
      }
      memory.setU32(used, at);
    },
    fd_renumber: (from: number, to: number) => {
      const moving = get(from);
      const replaced = get(to);
      if (from === to) return;
      replaced.fd_close();
      fds[to] = moving;
      fds[from] = undefined;
      open--;
    },
    fd_seek: (fd: number, by: bigint, whence: number, ptr: number) => {
      memory.view(ptr, 8);
      memory.setU64(ptr, ok(get(fd).fd_seek(by, whence)).offset);
    },
    fd_sync: (fd: number) => get(fd).fd_sync(),
    fd_tell: (fd: number, ptr: number) => memory.setU64(ptr, ok(get(fd).fd_tell()).offset),
    fd_write: (fd: number, iovs: number, len: number, nwritten: number) => {
      const file = get(fd);
      const data = memory.gather(memory.iovs(iovs, len));
      memory.view(nwritten, 4);
      if (!(file instanceof CallDevice)) return memory.setU32(nwritten, ok(file.fd_write(data)).nwritten);
      const taken = file.write(data);
      if (!(taken instanceof Promise)) return memory.setU32(nwritten, taken);
      return taken.then((count) => memory.setU32(nwritten, count));
    },

    path_create_directory: (fd: number, ptr: number, len: number) =>
      directory(fd).path_create_directory(memory.path(ptr, len)),
    path_filestat_get: (fd: number, flags: number, ptr: number, len: number, out: number) =>
      writeStat(out, ok(directory(fd).path_filestat_get(flags, memory.path(ptr, len))).filestat),
    path_filestat_set_times: (
      fd: number,
      flags: number,
      ptr: number,
      len: number,
      atim: bigint,
      mtim: bigint,
      fst: number,
    ) => directory(fd).path_filestat_set_times(flags, memory.path(ptr, len), atim, mtim, fst),
    path_link: (fd: number, _flags: number, ptr: number, len: number, to: number, toPtr: number, toLen: number) =>
      directory(fd).linkTo(memory.path(ptr, len), directory(to), memory.path(toPtr, toLen)),
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
      const dir = directory(fd);
      const path = memory.path(ptr, len);
      memory.view(out, 4);
      if (open >= limits.openFiles) fail(wasi.ERRNO_MFILE);
      const { fd_obj } = ok(dir.path_open(lookup, path, oflags, rights, inheriting, flags));
      let slot = fds.indexOf(undefined);
      if (slot < 0) slot = fds.length;
      fds[slot] = fd_obj!;
      open++;
      memory.setU32(out, slot);
    },
    path_readlink: (fd: number, ptr: number, len: number, buf: number, bufLen: number, used: number) => {
      memory.bytes(buf, bufLen);
      memory.view(used, 4);
      return directory(fd).path_readlink(memory.path(ptr, len));
    },
    path_remove_directory: (fd: number, ptr: number, len: number) =>
      directory(fd).path_remove_directory(memory.path(ptr, len)),
    path_rename: (fd: number, ptr: number, len: number, to: number, toPtr: number, toLen: number) =>
      directory(fd).renameTo(memory.path(ptr, len), directory(to), memory.path(toPtr, toLen)),
    path_symlink: (targetPtr: number, targetLen: number, fd: number, ptr: number, len: number) => {
      memory.path(targetPtr, targetLen);
      memory.path(ptr, len);
      directory(fd);
      return wasi.ERRNO_NOTSUP;
    },
    path_unlink_file: (fd: number, ptr: number, len: number) => directory(fd).path_unlink_file(memory.path(ptr, len)),

    poll_oneoff: (subscriptions: number, events: number, count: number, out: number) => {
      if (count === 0 || count >>> 0 > MAX_SUBSCRIPTIONS) fail(wasi.ERRNO_INVAL);
      const view = memory.view(subscriptions, count * SIZE.subscription);
      memory.bytes(events, count * SIZE.event);
      memory.view(out, 4);
      const ready: { userdata: bigint; type: number; error: number }[] = [];
      const clocks: { userdata: bigint; wait: bigint }[] = [];
      for (let at = 0; at < view.byteLength; at += SIZE.subscription) {
        const userdata = view.getBigUint64(at, true);
        const type = view.getUint8(at + 8);
        if (type === wasi.EVENTTYPE_CLOCK) {
          const now = time(view.getUint32(at + 16, true));
          const timeout = view.getBigUint64(at + 24, true);
          const absolute = (view.getUint16(at + 40, true) & wasi.SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME) !== 0;
          clocks.push({ userdata, wait: absolute ? (timeout > now ? timeout - now : 0n) : timeout });
        } else if (type === wasi.EVENTTYPE_FD_READ || type === wasi.EVENTTYPE_FD_WRITE) {
          // Everything a guest can open is ready at once: files, a stdin that is all there, output.
          ready.push({ userdata, type, error: fds[view.getUint32(at + 16, true)] ? 0 : wasi.ERRNO_BADF });
        } else {
          fail(wasi.ERRNO_INVAL);
        }
      }
      const report = () => {
        ready.forEach(({ userdata, type, error }, i) => {
          const event = memory.view(events + i * SIZE.event, SIZE.event);
          event.setBigUint64(0, userdata, true);
          event.setUint16(8, error, true);
          event.setUint16(10, type, true);
          event.setBigUint64(16, 0n, true);
          event.setBigUint64(24, 0n, true);
        });
        memory.setU32(out, ready.length);
      };
      if (ready.length > 0) return report();
      let wait = clocks[0]!.wait;
      for (const it of clocks) if (it.wait < wait) wait = it.wait;
      clock.sleep(wait);
      for (const it of clocks) {
        if (it.wait === wait) ready.push({ userdata: it.userdata, type: wasi.EVENTTYPE_CLOCK, error: 0 });
      }
      outlet.flush();
      const slept = outside.sleep(Number(wait / NS_PER_MS));
      return slept instanceof Promise ? slept.then(report) : report();
    },

    proc_exit: (code: number) => {
      ended ??= { exitCode: code >>> 0 };
      return TRAP;
    },
    proc_raise: () => wasi.ERRNO_NOSYS,
    random_get: (ptr: number, len: number) => random(memory.bytes(ptr, len)),
    sched_yield: () => {},
    sock_accept: () => wasi.ERRNO_NOTSUP,
    sock_recv: () => wasi.ERRNO_NOTSUP,
    sock_send: () => wasi.ERRNO_NOTSUP,
    sock_shutdown: () => wasi.ERRNO_NOTSUP,

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
    const code = (result: unknown): number => (typeof result === "number" ? result : wasi.ERRNO_SUCCESS);
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
    return (...args: never[]): Awaitable<number> => {
      if (ended || meter?.exhausted) return TRAP;
      try {
        if (outside.enter() % CALLS_PER_PACE === 0) pace();
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
    attach: (of, paced) => {
      meter = of;
      pace = paced;
    },
    ended: () => ended,
    close: () => {
      for (const fd of fds) fd?.fd_close();
    },
  };
}
