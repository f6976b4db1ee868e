/** Keys that sign checkpoints: Ed25519, kept where a script of the page cannot read the secret, if the browser can. */
import type { Bytes } from "./merkle.ts";

/** A key as it is stored in IndexedDB. */
export type StoredKey =
  | { kind: "webcrypto"; privateKey: CryptoKey; publicKey: Bytes }
  | { kind: "noble"; secretKey: Bytes; publicKey: Bytes };

/** WebKit's `generateKey` and `sign` fail now and then, and succeed when they are asked again. */
const ATTEMPTS = 5;

async function retry<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const final = error instanceof DOMException && error.name === "NotSupportedError";
      if (final || attempt === ATTEMPTS) throw error;
    }
  }
}

/** WebCrypto makes no Ed25519 key here. */
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
    throw new KeyUnavailable("WebCrypto makes no Ed25519 key here", { cause });
  }
}

/** A key whose secret lies in IndexedDB as plain bytes: any script of the page's origin can read it. */
export async function createNobleKey(): Promise<StoredKey> {
  const { getPublicKeyAsync, utils } = await import("@noble/ed25519");
  const secretKey = utils.randomSecretKey();
  return { kind: "noble", secretKey, publicKey: await getPublicKeyAsync(secretKey) };
}

export async function sign(key: StoredKey, message: Bytes): Promise<Bytes> {
  if (key.kind === "noble") return (await import("@noble/ed25519")).signAsync(message, key.secretKey);
  return retry(async () => new Uint8Array(await crypto.subtle.sign({ name: "Ed25519" }, key.privateKey, message)));
}
