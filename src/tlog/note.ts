/**
 * Writes signed notes (C2SP signed-note): a text with Ed25519 signatures below it, and the short keys (`vkey`) that
 * verify them. Signed is the text with its last newline, without the blank line; by a witness (C2SP tlog-cosignature),
 * also when it saw the text.
 */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes } from "@noble/hashes/utils.js";
import { toBase64 } from "../base/base64.ts";
import type { Bytes } from "../base/bytes.ts";
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";

export const ED25519 = 1;
export const COSIGNATURE = 4;
export const KEY_ID_BYTES = 4;

/** A key that verifies signatures. */
export interface Verifier {
  /** The key's name; for a log's own key, the log's origin. */
  name: string;
  keyId: Bytes;
  publicKey: Bytes;
  /** It is the key of a witness, whose signatures have a time. */
  cosigns: boolean;
}

export interface Signature {
  name: string;
  keyId: Bytes;
  signature: Bytes;
}

export interface Note {
  /** What is signed, with its final newline. */
  text: string;
  signatures: Signature[];
}

/** A key's name is not empty and has neither Unicode spaces nor `+`, so that it is one field of a line. */
export function isKeyName(name: string): boolean {
  return /^[^\p{White_Space}+]+$/u.test(name) && name.isWellFormed();
}

export function keyIdOf(name: string, key: Uint8Array): Bytes {
  return sha256(concatBytes(toUtf8(`${name}\n`), key)).slice(0, KEY_ID_BYTES);
}

/** @throws VakError `invalid-argument` when `name` cannot be a key's name */
export function ed25519Verifier(name: string, publicKey: Bytes): Verifier {
  return verifierOf(name, concatBytes(Uint8Array.of(ED25519), publicKey));
}

/** As {@link ed25519Verifier}, for the key of a witness. */
export function cosignatureVerifier(name: string, publicKey: Bytes): Verifier {
  return verifierOf(name, concatBytes(Uint8Array.of(COSIGNATURE), publicKey));
}

export function verifierOf(name: string, key: Uint8Array): Verifier {
  if (!isKeyName(name))
    throw new VakError(
      "invalid-argument",
      `"${name}" cannot be the name of a key: it is empty, or has a space or a +.`,
    );
  // Of Node's Buffer, slice would be a view that changes with it.
  return {
    name,
    keyId: keyIdOf(name, key),
    publicKey: Uint8Array.from(key.subarray(1)),
    cosigns: key[0] === COSIGNATURE,
  };
}

/** `name+keyid+base64(type ‖ public key)`, the type being 0x01, or 0x04 for the key of a witness. */
export function formatVkey({ name, keyId, publicKey, cosigns }: Verifier): string {
  const type = Uint8Array.of(cosigns ? COSIGNATURE : ED25519);
  return `${name}+${bytesToHex(keyId)}+${toBase64(concatBytes(type, publicKey))}`;
}

export function formatNote(note: Note): Bytes {
  const lines = note.signatures.map(
    ({ name, keyId, signature }) => `— ${name} ${toBase64(concatBytes(keyId, signature))}\n`,
  );
  return toUtf8(`${note.text}\n${lines.join("")}`);
}

/** Verifies strictly, by RFC 8032: non-canonical encodings are refused. */
export async function verifyEd25519(signature: Bytes, message: Uint8Array, publicKey: Bytes): Promise<boolean> {
  if (signature.length !== 64 || publicKey.length !== 32) return false;
  const { verifyAsync } = await import("@noble/ed25519");
  return verifyAsync(signature, message, publicKey, { zip215: false });
}
