/** Inclusion and consistency proofs (RFC 6962 §2.1.1 and §2.1.2), and how to verify them (RFC 9162 §2.1). */
import { type Bytes, equalBytes } from "../base/bytes.ts";
import { emptyRoot, HASH_BYTES, nodeHash } from "./merkle.ts";

const half = (n: number): number => Math.floor(n / 2);
const odd = (n: number): boolean => n % 2 === 1;

/** The largest power of two that is smaller than `n`; `n` is at least 2. */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
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
 * RFC 6962 §2.1.1: the proof that leaf `index` is in the tree of `size` leaves.
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
 * RFC 6962 §2.1.2: the proof that the tree of `newSize` leaves begins with the tree of `oldSize` leaves.
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
  // At start 0 the old tree is itself a subtree of the new one, and the verifier knows its hash: the old root.
  if (start !== 0) path.push([start, end]);
  return Promise.all(path.reverse().map((range) => rangeHash(range, read)));
}

/** RFC 9162 §2.1.3.2. False for anything that is not a proof, including numbers out of range. */
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

/** RFC 9162 §2.1.4.2. False for anything that is not a proof, and for an empty old tree, which proves nothing. */
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
