/** The interface of a mount's source, where its files are kept. */

import type { SeedFile } from "../protocol/messages.ts";
import type { Bounds } from "./bounds.ts";
import type { Tree } from "./tree.ts";

/** What to write, in order. */
export interface Changes {
  remove: string[];
  put: Map<string, SeedFile>;
  /** The whole tree as it should be in the end. */
  tree: Tree;
  /** The labels of the agent that writes, and so of what it writes. */
  labels: readonly string[];
}

/** A path that was not written, and why. */
export interface Failure {
  path: string;
  /** Whether it was changed elsewhere meanwhile. */
  conflict: boolean;
  why: string;
}

/** A tree that was read, with the contents of those files that were not known yet. */
export interface Found {
  tree: Tree;
  contents: Map<string, Uint8Array<ArrayBuffer>>;
  /** Its labels, if any are known. */
  labels?: readonly string[];
}

export interface Source {
  /**
   * Reads what is there now.
   *
   * @param known what was there before: contents that have not changed since are not read again
   * @throws VakError `files-unavailable`, `files-denied`
   */
  read(known: Tree, bounds: () => Bounds): Promise<Found>;
  /**
   * Writes changes; absent if the mount is read-only. Each file has its old or its new content at any time, never a
   * mix.
   *
   * @throws VakError `files-unavailable`, `files-denied`, `files-in-use` if nothing more could be written
   */
  write?(changes: Changes): Promise<Failure[]>;
  release?(): Promise<void>;
}
