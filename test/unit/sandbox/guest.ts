/** A guest's process without a worker, for tests of its system calls. */
import { type Limits, resolveLimits } from "../../../src/limits.ts";
import { Bridge } from "../../../src/sandbox/bridge.ts";
import { Outlet } from "../../../src/sandbox/fs/devices.ts";
import { Volume } from "../../../src/sandbox/fs/volume.ts";
import { GuestMemory } from "../../../src/sandbox/wasi/memory.ts";
import { createProcess, type Process } from "../../../src/sandbox/wasi/process.ts";

/** Where in its memory the guest puts arguments and finds results. */
const AT = { iovs: 0, out: 64, path: 1024, other: 8192, buffer: 65_536 };

export const ALL = (1n << 29n) - 1n;

/** The root directory's descriptor. */
export const ROOT = 3;

/**
 * A guest's side of the system calls, without the guest: a real memory, written and read as a program would. Each
 * method returns the call's errno first.
 */
export class Guest {
  readonly memory = new WebAssembly.Memory({ initial: 4 });
  readonly volume: Volume;
  readonly process: Process;
  readonly output: Uint8Array[] = [];

  constructor(limits: Partial<Limits> = {}, { stdin = new Uint8Array(), args = ["guest"], env = {} } = {}) {
    const all = resolveLimits(limits);
    this.volume = new Volume(all);
    const memory = new GuestMemory();
    memory.attach(this.memory);
    const request = { run: 1, args, env, stdin, seed: 1, startTime: 946_684_800_000 };
    const outlet = new Outlet(all.outputBytes, (_fd, bytes) => this.output.push(bytes));
    const bridge = new Bridge(() => {}, "jspi", undefined);
    this.process = createProcess(all, this.volume, memory);
    this.process.begin(request, outlet, bridge);
  }

  call(name: string, ...args: (number | bigint)[]): number {
    const result = this.process.host[name]!(...(args as never[]));
    if (typeof result !== "number") throw new Error(`${name} waits`);
    return result;
  }

  wait(name: string, ...args: (number | bigint)[]): Promise<number> {
    return Promise.resolve(this.process.host[name]!(...(args as never[])));
  }

  bytes(at: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.memory.buffer, at, length);
  }

  get view(): DataView {
    return new DataView(this.memory.buffer);
  }

  #put(text: string | Uint8Array, at = AT.path): [ptr: number, length: number] {
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    this.bytes(at, bytes.byteLength).set(bytes);
    return [at, bytes.byteLength];
  }

  #vector(length: number): [iovs: number, count: number] {
    this.view.setUint32(AT.iovs, AT.buffer, true);
    this.view.setUint32(AT.iovs + 4, length, true);
    return [AT.iovs, 1];
  }

  open(
    path: string | Uint8Array,
    { dir = ROOT, lookup = 0, oflags = 0, base = ALL & ~(1n << 6n), inheriting = ALL, flags = 0 } = {},
  ): { errno: number; fd: number } {
    const errno = this.call("path_open", dir, lookup, ...this.#put(path), oflags, base, inheriting, flags, AT.out);
    return { errno, fd: errno ? -1 : this.view.getUint32(AT.out, true) };
  }

  /** A path function that takes only a descriptor and a path. */
  path(name: "path_create_directory" | "path_remove_directory" | "path_unlink_file", path: string, dir = ROOT): number {
    return this.call(name, dir, ...this.#put(path));
  }

  link(from: string, to: string, { dir = ROOT, toDir = ROOT, flags = 0 } = {}): number {
    return this.call("path_link", dir, flags, ...this.#put(from), toDir, ...this.#put(to, AT.other));
  }

  rename(from: string, to: string, { dir = ROOT, toDir = ROOT } = {}): number {
    return this.call("path_rename", dir, ...this.#put(from), toDir, ...this.#put(to, AT.other));
  }

  symlink(target: string, path: string, dir = ROOT): number {
    const [ptr, length] = this.#put(target, AT.other);
    return this.call("path_symlink", ptr, length, dir, ...this.#put(path));
  }

  readlink(path: string, room = 4096, dir = ROOT): { errno: number; target: string } {
    const errno = this.call("path_readlink", dir, ...this.#put(path), AT.buffer, room, AT.out);
    return { errno, target: errno ? "" : this.text(AT.buffer, this.view.getUint32(AT.out, true)) };
  }

  stat(path: string, lookup = 0, dir = ROOT) {
    return this.#filestat(this.call("path_filestat_get", dir, lookup, ...this.#put(path), AT.buffer));
  }

  fstat(fd: number) {
    return this.#filestat(this.call("fd_filestat_get", fd, AT.buffer));
  }

  #filestat(errno: number) {
    const { view } = this;
    const at = AT.buffer;
    return {
      errno,
      dev: view.getBigUint64(at, true),
      ino: view.getBigUint64(at + 8, true),
      type: view.getUint8(at + 16),
      nlink: view.getBigUint64(at + 24, true),
      size: view.getBigUint64(at + 32, true),
      atim: view.getBigUint64(at + 40, true),
      mtim: view.getBigUint64(at + 48, true),
      ctim: view.getBigUint64(at + 56, true),
    };
  }

  setTimes(path: string, atim: bigint, mtim: bigint, fst: number, lookup = 0): number {
    return this.call("path_filestat_set_times", ROOT, lookup, ...this.#put(path), atim, mtim, fst);
  }

  fdstat(fd: number) {
    const errno = this.call("fd_fdstat_get", fd, AT.buffer);
    const { view } = this;
    return {
      errno,
      type: view.getUint8(AT.buffer),
      flags: view.getUint16(AT.buffer + 2, true),
      base: view.getBigUint64(AT.buffer + 8, true),
      inheriting: view.getBigUint64(AT.buffer + 16, true),
    };
  }

  write(fd: number, data: string | Uint8Array, offset?: bigint): { errno: number; count: number } {
    const [, length] = this.#put(data, AT.buffer);
    const errno =
      offset === undefined
        ? this.call("fd_write", fd, ...this.#vector(length), AT.out)
        : this.call("fd_pwrite", fd, ...this.#vector(length), offset, AT.out);
    return { errno, count: errno ? 0 : this.view.getUint32(AT.out, true) };
  }

  read(fd: number, length: number, offset?: bigint): { errno: number; data: Uint8Array } {
    const errno =
      offset === undefined
        ? this.call("fd_read", fd, ...this.#vector(length), AT.out)
        : this.call("fd_pread", fd, ...this.#vector(length), offset, AT.out);
    const count = errno ? 0 : this.view.getUint32(AT.out, true);
    return { errno, data: this.bytes(AT.buffer, count).slice() };
  }

  seek(fd: number, by: bigint, whence: number): { errno: number; position: bigint } {
    const errno = this.call("fd_seek", fd, by, whence, AT.out);
    return { errno, position: this.view.getBigUint64(AT.out, true) };
  }

  /** The entries from a cookie on that fit into so many bytes. */
  readdir(fd: number, cookie = 0n, room = 65_536) {
    const errno = this.call("fd_readdir", fd, AT.buffer, room, cookie, AT.out);
    const used = errno ? 0 : this.view.getUint32(AT.out, true);
    const entries: { next: bigint; ino: bigint; type: number; name: string }[] = [];
    for (let at = AT.buffer; at + 24 <= AT.buffer + used; ) {
      const length = this.view.getUint32(at + 16, true);
      if (at + 24 + length > AT.buffer + used) break;
      entries.push({
        next: this.view.getBigUint64(at, true),
        ino: this.view.getBigUint64(at + 8, true),
        type: this.view.getUint8(at + 20),
        name: this.text(at + 24, length),
      });
      at += 24 + length;
    }
    return { errno, used, entries };
  }

  /** Subscribes to clocks and descriptors; returns the events. */
  async poll(
    subscriptions: (
      | { userdata: bigint; timeout: bigint; clock?: number; flags?: number }
      | { userdata: bigint; fd: number; write?: boolean }
    )[],
  ) {
    const { view } = this;
    subscriptions.forEach((it, i) => {
      const at = AT.buffer + i * 48;
      this.bytes(at, 48).fill(0);
      view.setBigUint64(at, it.userdata, true);
      if ("fd" in it) {
        view.setUint8(at + 8, it.write ? 2 : 1);
        view.setUint32(at + 16, it.fd, true);
      } else {
        view.setUint32(at + 16, it.clock ?? 1, true);
        view.setBigUint64(at + 24, it.timeout, true);
        view.setUint16(at + 40, it.flags ?? 0, true);
      }
    });
    const events = AT.buffer + 65_536;
    const errno = await this.wait("poll_oneoff", AT.buffer, events, subscriptions.length, AT.out);
    const count = errno ? 0 : view.getUint32(AT.out, true);
    return {
      errno,
      events: Array.from({ length: count }, (_, i) => ({
        userdata: view.getBigUint64(events + i * 32, true),
        error: view.getUint16(events + i * 32 + 8, true),
        type: view.getUint8(events + i * 32 + 10),
        bytes: view.getBigUint64(events + i * 32 + 16, true),
      })),
    };
  }

  clock(id: number): { errno: number; time: bigint } {
    const errno = this.call("clock_time_get", id, 0n, AT.out);
    return { errno, time: this.view.getBigUint64(AT.out, true) };
  }

  text(at: number, length: number): string {
    return new TextDecoder().decode(this.bytes(at, length));
  }
}
