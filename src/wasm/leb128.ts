/**
 * LEB128, the format's integers of variable length: seven bits a byte, lowest first (WebAssembly 3.0, section 5.2.2).
 */

/** The unsigned 32-bit integer at `at`, in bytes that are known to be valid. */
export function unsignedAt(bytes: Uint8Array, at: number): number {
  let byte = bytes[at++]!;
  if (byte < 0x80) return byte;
  let value = byte & 0x7f;
  for (let shift = 7; byte >= 0x80; shift += 7) {
    byte = bytes[at++]!;
    value |= (byte & 0x7f) << shift;
  }
  return value >>> 0;
}

/** Where the integer at `at` ends, in bytes that are known to be valid. */
export function endOf(bytes: Uint8Array, at: number): number {
  while (bytes[at++]! >= 0x80);
  return at;
}

/**
 * Reads an integer of at most `bits` bits, byte by byte.
 *
 * @param isSigned whether the highest bit of the last byte is a sign
 * @returns the integer, exact within ±2^53; undefined if it takes more bytes than it may
 */
export function decode(source: { byte(): number }, bits: number, isSigned: boolean): number | undefined {
  let value = 0;
  for (let shift = 0; shift < bits; shift += 7) {
    const byte = source.byte();
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return isSigned && byte & 0x40 ? value - 2 ** (shift + 7) : value;
  }
  return undefined;
}

/** Bytes that an integer within ±2^53 takes at most. */
export const MOST_BYTES = 8;

/** Writes an unsigned integer, exact up to 2^53. @returns the position after it */
export function putUnsigned(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[at++] = rest;
  return at;
}

/** Writes a signed integer, exact within ±2^53. @returns the position after it */
export function putSigned(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  while (rest < -0x40 || rest >= 0x40) {
    bytes[at++] = (((rest % 0x80) + 0x80) % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[at++] = rest & 0x7f;
  return at;
}

/** The bytes of an unsigned integer. */
export const unsigned = (value: number): number[] => put(putUnsigned, value);

/** The bytes of a signed integer. */
export const signed = (value: number): number[] => put(putSigned, value);

function put(write: typeof putUnsigned, value: number): number[] {
  const bytes = new Uint8Array(MOST_BYTES);
  return [...bytes.subarray(0, write(bytes, 0, value))];
}
