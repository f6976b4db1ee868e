/**
 * What kernel and sandbox say to each other.
 *
 * The kernel drives the worker through Comlink ({@link SandboxApi}). The worker answers those calls and otherwise posts
 * plain {@link WorkerMessage}s. The kernel treats all of it as hostile: every message and every reply passes a parser
 * of `parse.ts` before anything reads it.
 */
import type { Limits } from "../limits.ts";

export const PROTOCOL_VERSION = 1;

/** How a guest that asks the kernel something is kept waiting. */
export type WaitMode = "jspi" | "atomics";

export interface BootOptions {
  wait: WaitMode;
  limits: Limits;
  /** The shared memory of `answer-buffer.ts`; present when `wait` is "atomics". */
  answers?: SharedArrayBuffer;
  /** The agent's first files by path, including those of its mounts. */
  files: Record<string, SeedFile>;
  mounts: readonly MountShape[];
}

/** A directory of an agent's files that is kept elsewhere, as far as a program can notice. */
export interface MountShape {
  /** From the root, such as `data`; empty for the root itself. */
  path: string;
  readOnly: boolean;
  /** Bytes it may hold. */
  quotaBytes: number;
  /** Whether it can hold symbolic links. Hard links it never can. */
  links: boolean;
}

/** A file's bytes, or what else a path can name. */
export type SeedFile = Uint8Array | { type: "directory" } | { type: "symlink"; target: string };

/** What the sandbox reports of a program that it admitted. */
export interface Admitted {
  module: WebAssembly.Module;
  /** Bytes of the module as compiled. */
  size: number;
  /** The export that stands in for the module's start section, if it had one. */
  start: string | null;
  /** Whether it has no `_start`, so that its functions are called. */
  reactor: boolean;
  imports: { module: string; name: string }[];
  /** The cost table and the versions of meter and sandbox that it was made for. A replay needs the same. */
  machine: string;
}

/** As the kernel receives it: without the module where that cannot leave the worker. */
export type Admission = Omit<Admitted, "module"> & { module: WebAssembly.Module | null };

export interface RunRequest {
  run: number;
  args: string[];
  env: Record<string, string>;
  stdin: Uint8Array;
  /** Determines the random bytes, together with the run's number. */
  seed: number;
  /** What the guest's clock reads when the run starts, ms since 1970. */
  startTime: number;
  /** Real time instead; the worker reports every reading. */
  clock?: "real";
  /** The function of a reactor to call, and its input as JSON. */
  call?: { name: string; input: Uint8Array };
  /** The run has waited for room: the worker reports when the guest begins, though it has met nothing. */
  waited?: boolean;
  /** The answers to the first calls, for which the kernel is not asked. */
  answers?: Uint8Array[];
  /**
   * The run is re-executed only for the state that it leaves: it posts nothing, and ends where it would have to ask.
   */
  silent?: boolean;
}

/**
 * Why a run trapped. No finer names are possible, since a run must end alike in every engine: Firefox has one message
 * for memories and tables, and Chromium one for a float that is too large and for NaN.
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

/** How a run ended, as the worker reports it. */
export type GuestOutcome =
  | { status: "exited"; exitCode: number; value?: Uint8Array<ArrayBuffer> }
  | { status: "trapped"; trap: Trap; message: string }
  | { status: "stopped"; limit: "fuel" | "output" | "asked" };

export interface Ended {
  outcome: GuestOutcome;
  /** Units of work done. */
  fuel: number;
  /** Peak bytes of linear memory. */
  memoryBytes: number;
  fileBytes: number;
  /** SHA-256 of the file tree, hex. */
  files: string;
}

/** Where in a guest's work something from outside took effect: the same place in every execution of the run. */
export interface Point {
  /**
   * `check`: at the first of the meter's checks that saw this fuel after this many system calls. `entry`: when the
   * guest made the last of these system calls. `wait`: while that one waited for an answer, or slept.
   */
  at: "check" | "entry" | "wait";
  /** System calls made so far, including this one. */
  systemCalls: number;
  /** Units of work done so far. */
  fuel: number;
}

export interface Finished extends Ended {
  /** Where the run was stopped, if the kernel asked for it. */
  stop: Point | null;
}

/** The engine had no room for the run's memory, so the run has not begun. */
export interface NoRoom {
  noRoom: string;
}

export interface FileStat {
  path: string;
  type: "file" | "directory" | "symlink";
  /** Bytes; 0 for a directory. */
  size: number;
  /** Where a symbolic link leads, relative to its own directory. */
  target?: string;
}

/** One thing below a directory, by its path from there. */
export interface TreeEntry extends FileStat {
  /** Changes whenever the content does; cannot be compared across agents. */
  revision: number;
  /** SHA-256 of a file's content, hex, if digests were asked for. */
  digest?: string;
  /** A file's content, if that was asked for. */
  bytes?: Uint8Array<ArrayBuffer>;
}

/** What to report of the files in a tree, besides their size. */
export type TreeDetail = "revisions" | "digests" | "bytes";

/** What the kernel calls in the worker. */
export interface SandboxApi {
  boot(options: BootOptions): void;
  /** Admits and compiles; rejects with the reason for a refusal. The reply has the module if `share` is set. */
  compile(bytes: Uint8Array, share: boolean): Promise<Admission>;
  /** Takes over a program that another worker of this kernel compiled. */
  adopt(admitted: Admitted): void;
  run(request: RunRequest): Promise<Finished | NoRoom>;
  readFile(path: string): Uint8Array | null;
  writeFile(path: string, file: SeedFile): void;
  listFiles(): FileStat[];
  statFile(path: string): FileStat | null;
  /** SHA-256 of the file tree, hex. */
  snapshot(): string;
  /** Everything below a directory at one moment, in order of path, without the mounts in it. Null if there is none. */
  tree(path: string, detail: TreeDetail): TreeEntry[] | null;
  removeFile(path: string): boolean;
}

/** What the kernel posts beside Comlink. The worker trusts it. A frame posts `connect`, with the kernel's port. */
export type KernelMessage =
  | { vak: "connect" }
  | { vak: "answer"; call: number; bytes: Uint8Array }
  | { vak: "stop" }
  | { vak: "pause" }
  | { vak: "resume" };

/** What a worker posts on its own initiative. */
export type WorkerMessage =
  | { vak: "hello"; version: typeof PROTOCOL_VERSION }
  | { vak: "call"; run: number; call: number; fuel: number; bytes: Uint8Array }
  | MetMessage
  | { vak: "output"; run: number; fd: 1 | 2; bytes: Uint8Array };

/**
 * What a guest met since the previous message: sent ahead of each call and of the run's end, whenever much has piled
 * up, and when a run that has waited for room begins. So the kernel knows everything that led to a call before it is
 * asked.
 */
export interface MetMessage {
  vak: "met";
  run: number;
  /** Units of work done so far. */
  fuel: number;
  /** Where each change that the kernel made to the files during the run took effect, in order. */
  changes: Point[];
  /**
   * Each reading of the real clock, ms: the first since 1970, every other since the one before. Of those past
   * `MAX_READINGS` only the first is reported.
   */
  readings: number[];
}
