/** What keeps the files of a mount, and how the browser's refusals are told. */
import { VakError } from "../errors.ts";
import type { SeedFile } from "../protocol/messages.ts";
import type { Bounds, Found, Tree } from "./tree.ts";
import { unavailable } from "./tree.ts";

/** What is to be written, in order. */
export interface Changes {
  remove: string[];
  put: Map<string, SeedFile>;
  /** What there is to be in the end. */
  tree: Tree;
  /** Of the agent that writes, and so of what it writes. */
  labels: readonly string[];
}

/** A path that was not written, and why. */
export interface Failure {
  path: string;
  /** It was changed elsewhere meanwhile. */
  conflict: boolean;
  why: string;
}

export interface Source {
  /**
   * What is there now.
   *
   * @param known what was there: contents that have not changed since are not told again
   * @throws VakError `files-unavailable`, `files-denied`
   */
  read(known: Tree, bounds: () => Bounds): Promise<Found>;
  /**
   * Writes, unless it is read-only. Each file is there as it was or as it is to be, whatever happens meanwhile.
   *
   * @throws VakError `files-unavailable`, `files-denied`, `files-in-use` where nothing more could be written
   */
  write?(changes: Changes): Promise<Failure[]>;
  release?(): Promise<void>;
}

/** An error of the browser's file system, as a page that uses vak is told of it. */
export function refusal(where: string, cause: unknown): VakError {
  if (cause instanceof VakError) return cause;
  const { name, message } = cause as Error;
  if (name === "NotAllowedError" || name === "SecurityError") {
    const ask = "Ask the person again, on a click: handle.requestPermission({ mode })";
    return new VakError("files-denied", `The browser does not let this page use ${where} any more. ${ask}.`, { cause });
  }
  if (name === "NotFoundError")
    return unavailable(`${where} is not there any more, or changes while it is read.`, cause);
  if (name === "QuotaExceededError") return unavailable(`${where} cannot be written: the storage is full.`, cause);
  return unavailable(`${where} cannot be used: ${message || name}.`, cause);
}
