/** Compares and joins bytes. */

/** Bytes in an `ArrayBuffer`, never in shared memory. */
export type Bytes = Uint8Array<ArrayBuffer>;

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * The parts, concatenated. It takes a list, because a guest may decide how many parts there are: as arguments, which
 * `concatBytes` of @noble/hashes takes, an engine accepts only some ten thousand.
 */
export function joinBytes(parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
