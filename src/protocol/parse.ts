/**
 * The parsers of everything a worker posts or replies; the kernel reads nothing that has not passed one. Each checks
 * shape and bounds, and returns a fresh object with only what the protocol knows, or undefined.
 */
import { clip } from "../base/clip.ts";
import { isCount, isDigest, isObject } from "../base/guards.ts";
import type { Limits } from "../limits.ts";
import {
  MAX_DEPTH,
  MAX_IMPORTS,
  MAX_NAME,
  MAX_PATH,
  MAX_READINGS,
  MAX_TEXT,
  MAX_TIME,
  MET_AT_ONCE,
  OUTPUT_CHUNK,
} from "./bounds.ts";
import {
  type Admission,
  type Admitted,
  type FileStat,
  type Finished,
  type GuestOutcome,
  type NoRoom,
  type Point,
  PROTOCOL_VERSION,
  TRAPS,
  type TreeDetail,
  type TreeEntry,
  type WorkerMessage,
} from "./messages.ts";

const record = (value: unknown): Record<string, unknown> | undefined => (isObject(value) ? value : undefined);

const count = (value: unknown, max: number = Number.MAX_SAFE_INTEGER): value is number =>
  isCount(value) && value <= max;

const text = (value: unknown): value is string => typeof value === "string" && value.length <= MAX_TEXT;

/** Bytes that nobody else can change: not in shared memory. */
const bytes = (value: unknown, max: number): value is Uint8Array<ArrayBuffer> =>
  value instanceof Uint8Array && value.buffer instanceof ArrayBuffer && value.byteLength <= max;

/** The message, if a worker may post it. */
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

/** Comlink's reply to a call of the kernel. Proxies, ports and anything else that is not plain data are refused. */
export type Reply = { id: string; value: unknown } | { id: string; error: string };

export function parseReply(data: unknown): Reply | undefined {
  const reply = record(data);
  if (!reply || !text(reply.id)) return undefined;
  if (reply.type === "RAW") return { id: reply.id, value: reply.value };
  if (reply.type === "HANDLER" && reply.name === "throw") {
    const thrown = record(reply.value);
    const error = record(thrown?.value);
    if (thrown?.isError === true && typeof error?.message === "string") {
      return { id: reply.id, error: clip(error.message, MAX_TEXT) };
    }
  }
  return undefined;
}

export function parseAdmitted(value: unknown): Admission | undefined {
  const it = record(value);
  if (!it || !count(it.size)) return undefined;
  if (it.module !== null && !(it.module instanceof WebAssembly.Module)) return undefined;
  if ((it.start !== null && !text(it.start)) || typeof it.reactor !== "boolean" || !text(it.machine)) return undefined;
  if (!Array.isArray(it.imports) || it.imports.length > MAX_IMPORTS) return undefined;
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

/** Refuses usage past a limit, which no honest worker reports. */
export function parseFinished(value: unknown, limits: Limits): Finished | undefined {
  const it = record(value);
  if (!it || !count(it.fuel, limits.fuel)) return undefined;
  if (!count(it.memoryBytes, limits.memoryBytes) || !count(it.fileBytes, limits.fileBytes)) return undefined;
  if (!isDigest(it.files)) return undefined;
  const outcome = parseGuestOutcome(it.outcome, limits);
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

/** @param most how many there may be */
export function parseReadings(value: unknown, most: number = MAX_READINGS): number[] | undefined {
  if (!Array.isArray(value) || value.length > most) return undefined;
  // A copy, without getters or holes.
  const readings: unknown[] = Array.from(value);
  return readings.every((one): one is number => count(one, MAX_TIME)) ? readings : undefined;
}

export function parsePoint(value: unknown, limits: { fuel: number }): Point | undefined {
  const it = record(value);
  if (!it || (it.at !== "check" && it.at !== "entry" && it.at !== "wait")) return undefined;
  if (!count(it.systemCalls) || !count(it.fuel, limits.fuel)) return undefined;
  return { at: it.at, systemCalls: it.systemCalls, fuel: it.fuel };
}

function parseGuestOutcome(value: unknown, limits: Limits): GuestOutcome | undefined {
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
      // The worker sees only these limits. The kernel sees the others, and asks it to stop.
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
    // A hard link's content appears once for each name.
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
