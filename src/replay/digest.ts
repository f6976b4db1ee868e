/** The digest by which the log names a program. */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

/** The SHA-256 of a program, hex. */
export async function digestOf(program: Uint8Array): Promise<string> {
  // A page that is not a secure context has no `crypto.subtle`.
  const { subtle } = crypto;
  return bytesToHex(subtle ? new Uint8Array(await subtle.digest("SHA-256", program as BufferSource)) : sha256(program));
}
