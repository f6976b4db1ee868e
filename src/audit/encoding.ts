/** Text and bytes, each in one spelling only. */
import { VakError } from "../errors.ts";
import type { Bytes } from "./merkle.ts";

const encoder = /* @__PURE__ */ new TextEncoder();
const decoder = /* @__PURE__ */ new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A lone surrogate becomes U+FFFD: refuse it first where that matters. */
export function toUtf8(text: string): Bytes {
  return encoder.encode(text);
}

/**
 * A byte order mark stays in the text, so that different bytes are different texts.
 *
 * @throws VakError `invalid-bundle`
 */
export function fromUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new VakError("invalid-bundle", "It is not UTF-8.");
  }
}

/** RFC 4648 §4, padded. */
export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  // In pieces that fit as arguments: many times faster than byte by byte.
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(binary);
}

/**
 * Reads what {@link toBase64} writes, and no other spelling of it.
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
