/** Bytes: compared and joined. */

/** Bytes in a buffer of their own kind, never in shared memory. */
export type Bytes = Uint8Array<ArrayBuffer>;

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * The parts, one after the other. Takes a list where `concatBytes` of @noble/hashes takes arguments, of which an engine
 * accepts only some ten thousand: a guest decides how many parts there are.
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
