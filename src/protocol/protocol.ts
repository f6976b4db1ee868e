/**
 * What kernel and sandbox say to each other, and the only thing the two share.
 *
 * The kernel drives the worker through Comlink ({@link SandboxApi}). The worker answers those calls and otherwise posts
 * plain {@link WorkerMessage}s. The kernel treats all of it as hostile: every message and every reply passes a parser
 * of this file before anything reads it.
 */
import { isDigest } from "../base/guards.ts";
import type { Limits } from "../limits.ts";

/** How a guest that asks the kernel something is kept waiting. */
export type WaitMode = "jspi" | "atomics";

export interface BootOptions {
  wait: WaitMode;
  limits: Limits;
  /** Header and answer area of {@link AnswerBuffer}; present when `wait` is "atomics". */
  answers?: SharedArrayBuffer;
  /** The agent's first files, by path; those of its mounts too. */
  files: Record<string, SeedFile>;
  mounts: readonly MountShape[];
}

/** A directory of an agent's files that is kept elsewhere, as far as a program can tell. */
export interface MountShape {
  /** From the root, as `data`; that of the root itself is empty. */
  path: string;
  readOnly: boolean;
  /** Bytes that it may hold. */
  quotaBytes: number;
  /** Whether there can be symbolic links in it; hard links never. */
  links: boolean;
}

/** A file's bytes, or what else there can be at a path. */
export type SeedFile = Uint8Array | { type: "directory" } | { type: "symlink"; target: string };

/** What the sandbox tells of a program that it admitted. */
export interface Admitted {
  module: WebAssembly.Module;
  /** Bytes of the module as compiled. */
  size: number;
  /** The export that stands in for the module's start section, if it had one. */
  start: string | null;
  /** It has no `_start`: its functions are called. */
  reactor: boolean;
  imports: { module: string; name: string }[];
  /** What it was made for: the cost table, and the versions of the meter and of the sandbox. Replaying needs the same. */
  machine: string;
}

/** As the kernel hears it: without the module, where that cannot leave the worker. */
export type Admission = Omit<Admitted, "module"> & { module: WebAssembly.Module | null };

export interface RunRequest {
  run: number;
  args: string[];
  env: Record<string, string>;
  stdin: Uint8Array;
  /** Names the stream of random bytes; with the run's number. */
  seed: number;
  /** What the guest's clock says when the run starts, ms since 1970. */
  startTime: number;
  /** Real time instead, every reading of which the worker tells. */
  clock?: "real";
  /** The function of a reactor to call, and its input as JSON. */
  call?: { name: string; input: Uint8Array };
  /** What the first calls are answered, without asking the kernel. */
  answers?: Uint8Array[];
  /** The run is done over for what it leaves: it says nothing, and ends where it would have to ask. */
  silent?: boolean;
}

/**
 * Why a run trapped. Finer names are not to be had: Firefox says the same of a memory and of a table, Chromium the same
 * of a float that is too large and of one that is no number; and a run must end alike in every engine.
 */
export const TRAPS = [
  "unreachable",
  "out-of-bounds", // of a memory, a table, an array or a segment
  "divide", // an integer by zero
  "overflow", // a result that is not representable as an integer
  "indirect-call", // of a null function, or through another signature
  "null-reference",
  "cast",
  "stack",
  "exception", // thrown and not caught
  "memory", // the engine could not allocate
  "abi", // a reactor's function broke the convention by which it is called
  "other",
] as const;

export type Trap = (typeof TRAPS)[number];

/** How a run ended, as far as the worker can know. */
export type Outcome =
  | { status: "exited"; exitCode: number; value?: Uint8Array<ArrayBuffer> }
  | { status: "trapped"; trap: Trap; message: string }
  | { status: "stopped"; limit: "fuel" | "output" | "asked" };

export interface Ended {
  outcome: Outcome;
  /** Units of work done. */
  fuel: number;
  /** Peak bytes of linear memory. */
  memoryBytes: number;
  fileBytes: number;
  /** SHA-256 of the file tree, hex. */
  files: string;
}

/** Where in a guest's work something from outside took effect: the same place in every execution of it. */
export interface Point {
  /**
   * `check`: at the first of the meter's checks that saw this fuel after this many system calls. `entry`: when the guest
   * made that system call. `wait`: while that system call waited for an answer, or slept.
   */
  at: "check" | "entry" | "wait";
  /** System calls made so far, this one included. */
  systemCalls: number;
  /** Units of work done so far. */
  fuel: number;
}

export interface RunEnd extends Ended {
  /** Where the run was stopped because the kernel asked for it. */
  stop: Point | null;
}

/** The engine had no room for the memory of the run, which has not begun. */
export interface NoRoom {
  noRoom: string;
}

export interface FileStat {
  path: string;
  type: "file" | "directory" | "symlink";
  /** Bytes; of a directory 0. */
  size: number;
  /** Where a symbolic link leads, from the directory that it is in. */
  target?: string;
}

/** What there is below a directory, by its path from there. */
export interface TreeEntry extends FileStat {
  /** Another one whenever the content is; says nothing across agents. */
  revision: number;
  /** SHA-256 of a file's content, hex, where digests were asked for. */
  digest?: string;
  /** A file's content, where that was asked for. */
  bytes?: Uint8Array<ArrayBuffer>;
}

/** What to tell of files in a tree, besides their size. */
export type TreeDetail = "revisions" | "digests" | "bytes";

/** What the kernel calls in the worker. */
export interface SandboxApi {
  boot(options: BootOptions): void;
  /** Admits and compiles; rejects with the admission's message. The module is in the reply if it is to be shared. */
  compile(bytes: Uint8Array, share: boolean): Promise<Admission>;
  /** Takes a program that another worker of this kernel compiled. */
  adopt(admitted: Admitted): void;
  run(request: RunRequest): Promise<RunEnd | NoRoom>;
  readFile(path: string): Uint8Array | null;
  writeFile(path: string, file: SeedFile): void;
  listFiles(): FileStat[];
  statFile(path: string): FileStat | null;
  /** SHA-256 of the file tree, hex. */
  snapshot(): string;
  /** What is below a directory, in order of path and all at one time; mounts in it left out. Null where there is none. */
  tree(path: string, detail: TreeDetail): TreeEntry[] | null;
  removeFile(path: string): boolean;
}

/** What the kernel posts beside Comlink. The worker trusts these. A frame says `connect`, with the kernel's port. */
export type KernelMessage =
  | { vak: "connect" }
  | { vak: "answer"; call: number; bytes: Uint8Array }
  | { vak: "stop" }
  | { vak: "pause" }
  | { vak: "resume" };

/** What a worker posts of its own accord. */
export type WorkerMessage =
  | { vak: "hello"; version: typeof PROTOCOL_VERSION }
  | { vak: "call"; run: number; call: number; fuel: number; bytes: Uint8Array }
  | MetMessage
  | { vak: "output"; run: number; fd: 1 | 2; bytes: Uint8Array };

/**
 * What a guest met since the message before: sent ahead of each call and of the run's end, and whenever much has piled up, so
 * that the kernel knows all that led to a call when it is asked.
 */
export interface MetMessage {
  vak: "met";
  run: number;
  /** Units of work done by now. */
  fuel: number;
  /** Where each change that the kernel made to the files during the run took effect, in order. */
  changes: Point[];
  /**
   * What the real clock said each time that it was read, ms: the first since 1970, each other since the one before. Of those
   * past {@link MAX_READINGS} only the first is told.
   */
  readings: number[];
}

export const PROTOCOL_VERSION = 1;

/** Longest stretch of output in one message, bytes. */
export const OUTPUT_CHUNK = 64 * 1024;
/** Messages a worker may post in a second, in the long run, before it is taken for a flood; an honest one posts at most 1000 or so. */
export const MESSAGES_PER_SECOND = 5000;
/** Messages that may come at once: what an honest worker posts while the page is busy for half a minute. */
export const MESSAGES_AT_ONCE = 15_000;
/** Longest text a worker may put in a reply, UTF-16 units. */
const MAX_TEXT = 4096;
/** The last time that a guest's clock can tell in nanoseconds of 64 bits, ms since 1970; about. */
const MAX_TIME = 2 ** 43;
/** Longest path that a system call takes, bytes of UTF-8. */
export const MAX_PATH = 4096;
/** Deepest nesting of directories, and longest name of a file, bytes of UTF-8. */
export const MAX_DEPTH = 64;
export const MAX_NAME = 255;
/** The most readings of the real clock that are kept of one run. */
export const MAX_READINGS = 100_000;
/** The most changes that the kernel makes to an agent's files during one run. */
export const MAX_CHANGES = 10_000;
/** The most changes, and the most readings, in one message. */
export const MET_AT_ONCE = 1024;

/**
 * How the kernel speaks to a worker that sleeps in `Atomics.wait`, or never lets its event loop turn: three Int32, then
 * the bytes of an answer. STATE is IDLE until the kernel makes it ANSWERED or STOPPED; PAUSED is 1 while the guest is to
 * stand still. The kernel notifies after each change.
 */
export const AnswerBuffer = {
  STATE: 0,
  LENGTH: 1,
  PAUSED: 2,
  HEADER_BYTES: 16,
  IDLE: 0,
  ANSWERED: 1,
  STOPPED: 2,
} as const;

const record = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;

const count = (value: unknown, max: number = Number.MAX_SAFE_INTEGER): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= max;

const text = (value: unknown): value is string => typeof value === "string" && value.length <= MAX_TEXT;

/** Bytes that nobody else can write to: a view of an ArrayBuffer of its own. */
const bytes = (value: unknown, max: number): value is Uint8Array<ArrayBuffer> =>
  value instanceof Uint8Array && value.buffer instanceof ArrayBuffer && value.byteLength <= max;

/** The message if it is one that a worker may post, else undefined. */
export function parseWorkerMessage(data: unknown, limits: Limits): WorkerMessage | undefined {
  const message = record(data);
  if (!message) return undefined;
  switch (message.vak) {
    case "hello":
      return message.version === PROTOCOL_VERSION ? { vak: "hello", version: PROTOCOL_VERSION } : undefined;
    case "call":
      if (!count(message.run) || !count(message.call) || !count(message.fuel, limits.fuel)) return undefined;
      if (!bytes(message.bytes, limits.callBytes)) return undefined;
      return { vak: "call", run: message.run, call: message.call, fuel: message.fuel, bytes: message.bytes };
    case "met": {
      const { run, fuel } = message;
      if (!count(run) || !count(fuel, limits.fuel)) return undefined;
      const changes = parsePoints(message.changes, limits);
      const readings = parseReadings(message.readings, MET_AT_ONCE);
      return changes && readings && { vak: "met", run, fuel, changes, readings };
    }
    case "output":
      if (!count(message.run) || (message.fd !== 1 && message.fd !== 2) || !bytes(message.bytes, OUTPUT_CHUNK)) {
        return undefined;
      }
      return { vak: "output", run: message.run, fd: message.fd, bytes: message.bytes };
    default:
      return undefined;
  }
}

/** Comlink's reply to a call of ours. Proxies, ports and anything else that is not plain data are refused. */
export type Reply = { id: string; value: unknown } | { id: string; error: string };

export function parseReply(data: unknown): Reply | undefined {
  const reply = record(data);
  if (!reply || !text(reply.id)) return undefined;
  if (reply.type === "RAW") return { id: reply.id, value: reply.value };
  if (reply.type === "HANDLER" && reply.name === "throw") {
    const thrown = record(reply.value);
    const error = record(thrown?.value);
    if (thrown?.isError === true && typeof error?.message === "string") {
      return { id: reply.id, error: error.message.slice(0, MAX_TEXT) };
    }
  }
  return undefined;
}

export function parseAdmitted(value: unknown): Admission | undefined {
  const it = record(value);
  if (!it || !count(it.size)) return undefined;
  if (it.module !== null && !(it.module instanceof WebAssembly.Module)) return undefined;
  if ((it.start !== null && !text(it.start)) || typeof it.reactor !== "boolean" || !text(it.machine)) return undefined;
  if (!Array.isArray(it.imports) || it.imports.length > 10_000) return undefined;
  const imports: Admitted["imports"] = [];
  for (const one of it.imports) {
    const entry = record(one);
    if (!entry || !text(entry.module) || !text(entry.name)) return undefined;
    imports.push({ module: entry.module, name: entry.name });
  }
  return { module: it.module, size: it.size, start: it.start, reactor: it.reactor, imports, machine: it.machine };
}

export function parseNoRoom(value: unknown): NoRoom | undefined {
  const it = record(value);
  return text(it?.noRoom) ? { noRoom: it.noRoom } : undefined;
}

/** A SHA-256, hex. */
/** No honest worker exceeds a limit. */
export function parseRunEnd(value: unknown, limits: Limits): RunEnd | undefined {
  const it = record(value);
  if (!it || !count(it.fuel, limits.fuel)) return undefined;
  if (!count(it.memoryBytes, limits.memoryBytes) || !count(it.fileBytes, limits.fileBytes)) return undefined;
  if (!isDigest(it.files)) return undefined;
  const outcome = parseOutcome(it.outcome, limits);
  const stop = it.stop === null ? null : parsePoint(it.stop, limits);
  if (!outcome || stop === undefined) return undefined;
  const { fuel, memoryBytes, fileBytes, files } = it;
  return { outcome, fuel, memoryBytes, fileBytes, files, stop };
}

function parsePoints(value: unknown, limits: Limits): Point[] | undefined {
  if (!Array.isArray(value) || value.length > MET_AT_ONCE) return undefined;
  const points: Point[] = [];
  for (const one of value) {
    const point = parsePoint(one, limits);
    if (!point) return undefined;
    points.push(point);
  }
  return points;
}

/** @param most that there may be */
export function parseReadings(value: unknown, most: number = MAX_READINGS): number[] | undefined {
  if (!Array.isArray(value) || value.length > most) return undefined;
  // A copy, of which no getter or hole is left.
  const readings: unknown[] = Array.from(value);
  return readings.every((one): one is number => count(one, MAX_TIME)) ? readings : undefined;
}

export function parsePoint(value: unknown, limits: { fuel: number }): Point | undefined {
  const it = record(value);
  if (!it || (it.at !== "check" && it.at !== "entry" && it.at !== "wait")) return undefined;
  if (!count(it.systemCalls) || !count(it.fuel, limits.fuel)) return undefined;
  return { at: it.at, systemCalls: it.systemCalls, fuel: it.fuel };
}

function parseOutcome(value: unknown, limits: Limits): Outcome | undefined {
  const it = record(value);
  switch (it?.status) {
    case "exited":
      if (!count(it.exitCode, 0xffff_ffff)) return undefined;
      if (it.value === undefined) return { status: "exited", exitCode: it.exitCode };
      return bytes(it.value, limits.callBytes)
        ? { status: "exited", exitCode: it.exitCode, value: it.value }
        : undefined;
    case "trapped": {
      const trap = TRAPS.find((name) => name === it.trap);
      return trap && text(it.message) ? { status: "trapped", trap, message: it.message } : undefined;
    }
    case "stopped":
      // Of the limits, these are the worker's to see; the kernel knows the others, and asks.
      return it.limit === "fuel" || it.limit === "output" || it.limit === "asked"
        ? { status: "stopped", limit: it.limit }
        : undefined;
    default:
      return undefined;
  }
}

export function parseFile(value: unknown, limits: Limits): Uint8Array<ArrayBuffer> | null | undefined {
  return value === null || bytes(value, limits.fileBytes) ? value : undefined;
}

export function parseFileList(value: unknown, limits: Limits): FileStat[] | undefined {
  if (!Array.isArray(value) || value.length > limits.fileCount) return undefined;
  const list: FileStat[] = [];
  for (const one of value) {
    const stat = parseFileStat(one, limits);
    if (!stat) return undefined;
    list.push(stat);
  }
  return list;
}

export function parseTree(value: unknown, limits: Limits, detail: TreeDetail): TreeEntry[] | null | undefined {
  if (value === null) return null;
  if (!Array.isArray(value) || value.length > limits.fileCount) return undefined;
  const tree: TreeEntry[] = [];
  let total = 0;
  for (const one of value) {
    const stat = parseFileStat(one, limits);
    const { revision, digest, bytes: data } = one as Partial<TreeEntry>;
    if (!stat || !count(revision)) return undefined;
    // A hard link's content is there once for each name.
    if (detail === "bytes") total += stat.size;
    const entry: TreeEntry = { ...stat, revision };
    if (stat.type === "file" && detail === "digests") {
      if (!isDigest(digest)) return undefined;
      entry.digest = digest;
    }
    if (stat.type === "file" && detail === "bytes") {
      if (!bytes(data, limits.fileBytes) || data.byteLength !== stat.size) return undefined;
      entry.bytes = data;
    }
    tree.push(entry);
  }
  return total <= limits.fileBytes ? tree : undefined;
}

export function parseFileStat(value: unknown, limits: Limits): FileStat | undefined {
  const it = record(value);
  if (typeof it?.path !== "string" || it.path.length > (MAX_DEPTH + 1) * (MAX_NAME + 1)) return undefined;
  if (!count(it.size, limits.fileBytes)) return undefined;
  const { path, type, size, target } = it;
  if (type === "symlink") {
    if (typeof target !== "string" || target.length > MAX_PATH) return undefined;
    return { path, type, size, target };
  }
  return type === "file" || type === "directory" ? { path, type, size } : undefined;
}
