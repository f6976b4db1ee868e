/** SHA-256 (FIPS 180-4) in lower-case hex. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

/** Synchronously, in JavaScript: for short texts. */
export function sha256Hex(bytes: Uint8Array): string {
  return bytesToHex(sha256(bytes));
}

/** Off the calling thread and many times faster, by WebCrypto (secure contexts only): for files and programs. */
export async function sha256HexOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return bytesToHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}
