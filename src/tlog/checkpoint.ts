/** C2SP tlog-checkpoint: the text of a note that states how large a log is and what its root is. */
import { fromBase64, toBase64 } from "../base/base64.ts";
import type { Bytes } from "../base/bytes.ts";
import { VakError } from "../errors.ts";
import { HASH_BYTES } from "./merkle.ts";

export interface TreeHead {
  origin: string;
  /** Entries in the log. */
  size: number;
  root: Bytes;
}

/** A signed statement of what the log is. */
export interface Checkpoint {
  origin: string;
  /** Entries it covers. */
  size: number;
  /** Root of their tree, base64. */
  root: string;
  /** The C2SP signed note that says so. */
  note: string;
}

export function formatCheckpoint({ origin, size, root }: TreeHead): string {
  return `${origin}\n${size}\n${toBase64(root)}\n`;
}

/**
 * Reads a checkpoint's text. Extension lines after the third are allowed, as the format says, and not read.
 *
 * @throws VakError `invalid-bundle` saying what is malformed
 */
export function parseCheckpoint(text: string): TreeHead {
  const [origin, size, root, ...rest] = text.split("\n");
  if (!origin || size === undefined || root === undefined || rest.pop() !== "" || rest.includes("")) {
    throw new VakError("invalid-bundle", "The checkpoint is not an origin, a size and a root, each on its line.");
  }
  if (!/^(0|[1-9]\d*)$/.test(size) || !Number.isSafeInteger(Number(size))) {
    throw new VakError("invalid-bundle", "The checkpoint's size is not a decimal number below 2^53.");
  }
  const hash = fromBase64(root);
  if (hash.length !== HASH_BYTES) throw new VakError("invalid-bundle", "The checkpoint's root is not 32 bytes.");
  return { origin, size: Number(size), root: hash };
}
