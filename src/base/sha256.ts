/** SHA-256 (FIPS 180-4) in lower-case hex. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

/** Synchronously, in JavaScript: for short texts. */
export function sha256Hex(bytes: Uint8Array): string {
  return bytesToHex(sha256(bytes));
}

/**
 * For files and programs: off the calling thread and many times faster, by WebCrypto. A page that is not a secure
 * context has no `crypto.subtle`; there it is computed in JavaScript.
 */
export async function sha256HexOf(bytes: Uint8Array): Promise<string> {
  const { subtle } = crypto;
  return subtle ? bytesToHex(new Uint8Array(await subtle.digest("SHA-256", bytes as BufferSource))) : sha256Hex(bytes);
}
