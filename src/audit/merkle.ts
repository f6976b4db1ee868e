/**
 * Merkle trees as RFC 6962 §2.1 defines them, over SHA-256: hashes, roots, inclusion and consistency proofs.
 * Indices and sizes are whole numbers up to 2^53 − 1, so they are halved by division, never by bit operators.
 */
import { sha256 } from "@noble/hashes/sha2.js";

export type Bytes = Uint8Array<ArrayBuffer>;

/** Bytes in a hash. */
export const HASH_BYTES = 32;

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

export function leafHash(data: Uint8Array): Bytes {
  return sha256.create().update(LEAF).update(data).digest();
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Bytes {
  return sha256.create().update(NODE).update(left).update(right).digest();
}

/** The root of a tree without leaves: SHA-256 of nothing. */
export function emptyRoot(): Bytes {
  return sha256(new Uint8Array());
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

const half = (n: number): number => Math.floor(n / 2);
const odd = (n: number): boolean => n % 2 === 1;

/** The largest power of two that is smaller than `n`; `n` is at least 2. */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
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
   * Appends a leaf. `onNode` hears of each subtree that is now complete, the leaf itself (level 0) first; a subtree of
   * level L has 2^L leaves.
   */
  append(leaf: Bytes, onNode?: (level: number, hash: Bytes) => void): void {
    let hash = leaf;
    onNode?.(0, hash);
    for (let level = 1, rest = this.#size; odd(rest); rest = half(rest), level++) {
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

/** The hash of the perfect subtree of 2^level leaves that starts at leaf `index`·2^level. */
export type HashReader = (level: number, index: number) => Bytes | Promise<Bytes>;

/** The leaves from `start` up to, not including, `end`, as one subtree. */
type Range = readonly [start: number, end: number];

async function rangeHash([start, end]: Range, read: HashReader): Promise<Bytes> {
  const perfect: (Bytes | Promise<Bytes>)[] = [];
  for (let from = start; from < end; ) {
    let level = 0;
    let width = 1;
    while (width * 2 <= end - from) {
      width *= 2;
      level++;
    }
    perfect.push(read(level, from / width));
    from += width;
  }
  return (await Promise.all(perfect)).reduceRight((right, left) => nodeHash(left, right));
}

function checkRange(low: number, high: number, what: string): void {
  if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || low < 0 || low > high) {
    throw new RangeError(`${what}: ${low} is not a whole number from 0 to ${high}`);
  }
}

/** The root of the tree of the first `size` leaves. */
export async function rootAt(size: number, read: HashReader): Promise<Bytes> {
  checkRange(size, size, "size");
  return size === 0 ? emptyRoot() : rangeHash([0, size], read);
}

/**
 * RFC 6962 §2.1.1: what proves that leaf `index` is in the tree of `size` leaves.
 *
 * @throws RangeError unless 0 ≤ index < size
 */
export async function inclusionProof(index: number, size: number, read: HashReader): Promise<Bytes[]> {
  checkRange(index, size - 1, "leaf index");
  const path: Range[] = [];
  for (let start = 0, end = size; end - start > 1; ) {
    const middle = start + split(end - start);
    if (index < middle) {
      path.push([middle, end]);
      end = middle;
    } else {
      path.push([start, middle]);
      start = middle;
    }
  }
  return Promise.all(path.reverse().map((range) => rangeHash(range, read)));
}

/**
 * RFC 6962 §2.1.2: what proves that the tree of `newSize` leaves begins with the tree of `oldSize` leaves.
 *
 * @throws RangeError unless 0 < oldSize ≤ newSize
 */
export async function consistencyProof(oldSize: number, newSize: number, read: HashReader): Promise<Bytes[]> {
  checkRange(oldSize - 1, newSize - 1, "old size");
  const path: Range[] = [];
  let start = 0;
  let end = newSize;
  while (end !== oldSize) {
    const middle = start + split(end - start);
    if (oldSize <= middle) {
      path.push([middle, end]);
      end = middle;
    } else {
      path.push([start, middle]);
      start = middle;
    }
  }
  // At start 0 the old tree is itself a subtree of the new one: its verifier knows that hash, the old root.
  if (start !== 0) path.push([start, end]);
  return Promise.all(path.reverse().map((range) => rangeHash(range, read)));
}

/** RFC 9162 §2.1.3.2. False for anything that does not prove it, out-of-range numbers included. */
export function verifyInclusion(
  index: number,
  size: number,
  leaf: Bytes,
  proof: readonly Bytes[],
  root: Uint8Array,
): boolean {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return false;
  if (![leaf, ...proof].every((hash) => hash.length === HASH_BYTES)) return false;
  let fn = index;
  let sn = size - 1;
  let hash = leaf;
  for (const sibling of proof) {
    if (sn === 0) return false;
    if (odd(fn) || fn === sn) {
      hash = nodeHash(sibling, hash);
      while (!odd(fn) && fn !== 0) {
        fn = half(fn);
        sn = half(sn);
      }
    } else {
      hash = nodeHash(hash, sibling);
    }
    fn = half(fn);
    sn = half(sn);
  }
  return sn === 0 && equalBytes(hash, root);
}

/** RFC 9162 §2.1.4.2. False for anything that does not prove it, and for an empty old tree, of which nothing follows. */
export function verifyConsistency(
  oldSize: number,
  newSize: number,
  oldRoot: Bytes,
  newRoot: Bytes,
  proof: readonly Bytes[],
): boolean {
  if (!Number.isSafeInteger(oldSize) || !Number.isSafeInteger(newSize) || oldSize < 1 || oldSize > newSize)
    return false;
  if (oldSize === newSize) return proof.length === 0 && equalBytes(oldRoot, newRoot);
  if (![oldRoot, newRoot, ...proof].every((hash) => hash.length === HASH_BYTES)) return false;
  if (proof.length === 0) return false;
  let fn = oldSize - 1;
  let sn = newSize - 1;
  while (odd(fn)) {
    fn = half(fn);
    sn = half(sn);
  }
  // fn is 0 when the old size is a power of two: its root is then the first hash, and left out of the proof.
  const [seed, ...rest] = fn === 0 ? [oldRoot, ...proof] : proof;
  let oldHash = seed!;
  let newHash = seed!;
  for (const hash of rest) {
    if (sn === 0) return false;
    if (odd(fn) || fn === sn) {
      oldHash = nodeHash(hash, oldHash);
      newHash = nodeHash(hash, newHash);
      while (!odd(fn) && fn !== 0) {
        fn = half(fn);
        sn = half(sn);
      }
    } else {
      newHash = nodeHash(newHash, hash);
    }
    fn = half(fn);
    sn = half(sn);
  }
  return sn === 0 && equalBytes(oldHash, oldRoot) && equalBytes(newHash, newRoot);
}
