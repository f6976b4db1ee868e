/**
 * The keys that sign checkpoints: Ed25519 (RFC 8032), kept out of reach of the page's scripts where the browser can.
 */

import { type Bytes, equalBytes } from "../base/bytes.ts";
import { errorText } from "../base/error-text.ts";
import { retry } from "../base/retry.ts";
import { VakError } from "../errors.ts";
import { verifyEd25519 } from "../tlog/note.ts";

/**
 * A key of your own, on a server or in hardware. It signs with Ed25519 (RFC 8032).
 *
 * @example
 * const signer: Signer = {
 *   publicKey,
 *   sign: async (message) => {
 *     const response = await fetch("/sign", { method: "POST", body: message });
 *     return new Uint8Array(await response.arrayBuffer());
 *   },
 * };
 */
export interface Signer {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /**
   * Returns the 64-byte signature of a checkpoint's text. It should check that text: the origin, and a size that never
   * shrinks.
   */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** A key as it is stored in IndexedDB. */
export type StoredKey =
  | { kind: "webcrypto"; privateKey: CryptoKey; publicKey: Bytes }
  | { kind: "noble"; secretKey: Bytes; publicKey: Bytes }
  | { kind: "custom"; publicKey: Bytes };

/** WebCrypto cannot create an Ed25519 key in this browser. */
export class KeyUnavailable extends Error {}

/**
 * A key that only the browser can read.
 *
 * @throws KeyUnavailable
 */
export async function createWebCryptoKey(): Promise<StoredKey> {
  try {
    return await retry(async () => {
      const pair = (await crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"])) as CryptoKeyPair;
      const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
      return { kind: "webcrypto", privateKey: pair.privateKey, publicKey };
    });
  } catch (cause) {
    throw new KeyUnavailable("WebCrypto cannot create an Ed25519 key here", { cause });
  }
}

/** A key whose secret is stored as plain bytes: any script of the page's origin can read it. */
export async function createNobleKey(): Promise<StoredKey> {
  const { getPublicKeyAsync, utils } = await import("@noble/ed25519");
  const secretKey = utils.randomSecretKey();
  return { kind: "noble", secretKey, publicKey: await getPublicKeyAsync(secretKey) };
}

/** @throws VakError `invalid-argument` */
export function customKey({ publicKey }: Signer): StoredKey {
  if (!(publicKey instanceof Uint8Array) || publicKey.length !== 32) {
    throw new VakError("invalid-argument", "A signer's publicKey must be the 32 bytes of an Ed25519 key.");
  }
  return { kind: "custom", publicKey: Uint8Array.from(publicKey) };
}

/** Whether the page's scripts could read the secret; null if only its owner knows. */
export const extractable = ({ kind }: StoredKey): boolean | null => (kind === "custom" ? null : kind === "noble");

/**
 * Signs with a stored key, or has the caller's signer do it.
 *
 * @throws VakError `signer-failed` when the caller's signer throws or does not sign with its key
 */
export async function sign(key: StoredKey, message: Bytes, signer: Signer | undefined): Promise<Bytes> {
  if (key.kind === "noble") return (await import("@noble/ed25519")).signAsync(message, key.secretKey);
  if (key.kind === "webcrypto") {
    return retry(async () => new Uint8Array(await crypto.subtle.sign({ name: "Ed25519" }, key.privateKey, message)));
  }
  try {
    const signature = Uint8Array.from((await signer?.sign(message.slice())) ?? []);
    if (signer && equalBytes(signer.publicKey, key.publicKey)) {
      if (await verifyEd25519(signature, message, key.publicKey)) return signature;
    }
    throw new Error("what it returned is not a signature by its key");
  } catch (cause) {
    throw new VakError(
      "signer-failed",
      `The log's signer did not sign: ${errorText(cause)}. Make it available, then take a checkpoint again.`,
      { cause },
    );
  }
}
