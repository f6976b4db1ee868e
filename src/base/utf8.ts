/** UTF-8 (RFC 3629): text to bytes and back, without loss. */
import { VakError } from "../errors.ts";
import type { Bytes } from "./bytes.ts";

const encoder = /* @__PURE__ */ new TextEncoder();
const decoder = /* @__PURE__ */ new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A lone surrogate becomes U+FFFD: refuse such text first where that matters. */
export function toUtf8(text: string): Bytes {
  return encoder.encode(text);
}

/**
 * A byte order mark stays in the text, so that different bytes give different texts.
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
