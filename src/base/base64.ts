/** Base64 (RFC 4648 §4): padded, with exactly one accepted encoding for each value. */

import { VakError } from "../errors.ts";
import { fromBinary, toBinary } from "./binary.ts";
import type { Bytes } from "./bytes.ts";

export function toBase64(bytes: Uint8Array): string {
  return btoa(toBinary(bytes));
}

/**
 * Reads exactly what {@link toBase64} writes.
 *
 * @throws VakError `invalid-bundle`
 */
export function fromBase64(text: string): Bytes {
  let bytes: Bytes | undefined;
  try {
    bytes = fromBinary(atob(text));
  } catch {}
  if (!bytes || toBase64(bytes) !== text) throw new VakError("invalid-bundle", "It is not canonical base64.");
  return bytes;
}
