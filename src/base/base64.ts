/** Base64 (RFC 4648 §4): padded, with exactly one accepted encoding for each value. */
import { VakError } from "../errors.ts";
import type { Bytes } from "./bytes.ts";

export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  // In chunks that fit as arguments: many times faster than byte by byte.
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(binary);
}

/**
 * Reads exactly what {@link toBase64} writes.
 *
 * @throws VakError `invalid-bundle`
 */
export function fromBase64(text: string): Bytes {
  let bytes: Bytes | undefined;
  try {
    bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {}
  if (!bytes || toBase64(bytes) !== text) throw new VakError("invalid-bundle", "It is not canonical base64.");
  return bytes;
}
