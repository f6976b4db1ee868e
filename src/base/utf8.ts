/** UTF-8: text and bytes, each in one spelling only. */
import { VakError } from "../errors.ts";
import type { Bytes } from "./bytes.ts";

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

/** At most so many UTF-16 units of it, well-formed. */
export const clip = (text: string, length: number): string => text.slice(0, length).toWellFormed();
