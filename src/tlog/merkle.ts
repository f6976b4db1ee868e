/**
 * Merkle trees over SHA-256 (RFC 6962 §2.1): hashes and roots. Indices and sizes are whole numbers up to 2^53 − 1, so
 * they are halved by division, never by bit operators.
 */

import { sha256 } from "@noble/hashes/sha2.js";
import type { Bytes } from "../base/bytes.ts";

/** Bytes in a hash. */
export const HASH_BYTES = 32;

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** One hasher, reset each time: creating one costs as much as hashing a short entry. */
const start = /* @__PURE__ */ sha256.create();
const hasher = /* @__PURE__ */ sha256.create();

/** SHA-256 of the parts, concatenated. */
export function sha256Of(...parts: Uint8Array[]): Bytes {
  start._cloneInto(hasher);
  for (const part of parts) hasher.update(part);
  return hasher.digest();
}

export function leafHash(data: Uint8Array): Bytes {
  return sha256Of(LEAF, data);
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Bytes {
  return sha256Of(NODE, left, right);
}

/** The root of a tree without leaves: SHA-256 of nothing. */
export function emptyRoot(): Bytes {
  return sha256Of();
}

/**
 * The right edge of a growing tree: the roots of its perfect subtrees, largest first, one for each 1 in the binary
 * form of `size`. Enough to append and to know the root, in about log2(size) hashes of memory.
 */
export class RightEdge {
  readonly #perfect: Bytes[];
  #size: number;

  /** @param perfect the roots of the perfect subtrees of a tree of `size` leaves, largest first */
  constructor(size = 0, perfect: readonly Bytes[] = []) {
    this.#size = size;
    this.#perfect = [...perfect];
  }

  get size(): number {
    return this.#size;
  }

  /**
   * Appends a leaf. `onNode` is called for each subtree that this completes, first the leaf itself (level 0); a subtree
   * of level L has 2^L leaves.
   */
  append(leaf: Bytes, onNode?: (level: number, hash: Bytes) => void): void {
    let hash = leaf;
    onNode?.(0, hash);
    for (let level = 1, rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2, level++) {
      hash = nodeHash(this.#perfect.pop()!, hash);
      onNode?.(level, hash);
    }
    this.#perfect.push(hash);
    this.#size++;
  }

  root(): Bytes {
    return this.#perfect.length === 0 ? emptyRoot() : this.#perfect.reduceRight((right, left) => nodeHash(left, right));
  }
}
