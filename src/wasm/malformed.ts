/** Errors for modules that violate the binary format: `invalid-module`, with the offset. */
import { VakError } from "../errors.ts";

/** @param at offset from the module's first byte */
export function malformed(message: string, at?: number): never {
  throw new VakError("invalid-module", at === undefined ? `${message}.` : `${message} (at byte ${at}).`);
}

/** A length or count does not match. */
export const wrongLength = (at: number): never => malformed("truncated, or a length or count is wrong", at);

/** A code that the format does not have here. */
export const unknown = (what: string, code: number, at: number): never =>
  malformed(`${what} 0x${code.toString(16).padStart(2, "0")} is not known`, at);

/** A proposal that is not part of the specification yet. */
export const proposed = (what: string, at: number): never => malformed(`${what} is not part of WebAssembly 3.0`, at);
