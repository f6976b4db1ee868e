/** The first eight bytes of a module (WebAssembly 3.0, section 5.5.17). */
import { malformed, wrongLength } from "./malformed.ts";

/** `\0asm` and the version, 1. */
export const PREAMBLE: readonly number[] = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

const MAGIC = 0x6d73_6100;

const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");

/** @throws VakError `invalid-module` when this is not the preamble of a core module, version 1 */
export function checkPreamble(bytes: Uint8Array): void {
  const word = (at: number) => bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  if (bytes.length === 0) malformed("not a WebAssembly module: it is empty");
  if (bytes.length < 4 || word(0) !== MAGIC) {
    malformed(`not a WebAssembly module: starts with ${hex(bytes.subarray(0, 4))}`, 0);
  }
  if (bytes.length < PREAMBLE.length) wrongLength(bytes.length);
  if (bytes[6] === 1 && bytes[7] === 0) {
    malformed("a WebAssembly component (layer 1), not a core module: give its core module", 4);
  }
  if (word(4) !== 1) malformed(`not a WebAssembly module of version 1: the version is ${hex(bytes.subarray(4, 8))}`, 4);
}
