/** The bounds of a mount: how many bytes and names it may hold, and which paths an agent can have. */

import { toUtf8 } from "../base/utf8.ts";
import { MAX_DEPTH, MAX_NAME } from "../protocol/bounds.ts";
import { unavailable } from "./mount-errors.ts";
import { join } from "./tree.ts";

/** Counts what is found, so that too much is noticed before it is read. */
export class Bounds {
  readonly #where: string;
  readonly #mount: string;
  #bytesLeft: number;
  #namesLeft: number;

  /** @param mount the mount's path from the root */
  constructor(mount: string, bytes: number, names: number) {
    this.#where = `The mount /${mount}`;
    this.#mount = mount;
    this.#bytesLeft = bytes;
    this.#namesLeft = names;
  }

  /** @throws VakError `files-unavailable` for a path that no agent can have, or beyond either bound */
  take(path: string, bytes = 0): void {
    const where = this.#where;
    const parts = join(this.#mount, path).split("/");
    const bad = parts.some(
      (part) => part === "" || part === "." || part === ".." || part.includes("\0") || toUtf8(part).length > MAX_NAME,
    );
    if (bad || !path.isWellFormed() || parts.length >= MAX_DEPTH || parts[0] === "dev") {
      throw unavailable(
        `${where} holds ${JSON.stringify(path.slice(0, 300))}, which no agent can have: rename or move it.`,
      );
    }
    this.#namesLeft--;
    this.#bytesLeft -= bytes;
    if (this.#namesLeft < 0)
      throw unavailable(`${where} holds more files than limits.fileCount allows: raise it, or remove some.`);
    if (this.#bytesLeft < 0)
      throw unavailable(`${where} holds more bytes than its quotaBytes allows: raise it, or remove some.`);
  }
}
