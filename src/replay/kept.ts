/** Copies of bytes for save points: what has not changed since the save point before is kept once. */

export class Kept {
  readonly #copies = new WeakMap<Uint8Array, Uint8Array>();

  copy(live: Uint8Array): Uint8Array {
    const before = this.#copies.get(live);
    if (before && isEqual(before, live)) return before;
    const copy = live.slice();
    this.#copies.set(live, copy);
    return copy;
  }

  revive(copy: Uint8Array): Uint8Array {
    const live = copy.slice();
    this.#copies.set(live, copy);
    return live;
  }
}

/** Fast: eight bytes at a time where they are aligned. */
export function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (one.byteLength !== other.byteLength) return false;
  let at = 0;
  if (one.byteOffset % 8 === 0 && other.byteOffset % 8 === 0) {
    const words = Math.floor(one.byteLength / 8);
    const a = new BigUint64Array(one.buffer, one.byteOffset, words);
    const b = new BigUint64Array(other.buffer, other.byteOffset, words);
    for (let n = 0; n < words; n++) if (a[n] !== b[n]) return false;
    at = words * 8;
  }
  for (; at < one.byteLength; at++) if (one[at] !== other[at]) return false;
  return true;
}
