/** Reads and verifies signed notes, cosignatures and verifier keys (C2SP signed-note, tlog-cosignature). */

import { bytesToHex } from "@noble/hashes/utils.js";
import { fromBase64 } from "../base/base64.ts";
import { type Bytes, equalBytes } from "../base/bytes.ts";
import { fromUtf8, toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import {
  COSIGNATURE,
  ED25519,
  isKeyName,
  KEY_ID_BYTES,
  keyIdOf,
  type Note,
  type Verifier,
  verifierOf,
  verifyEd25519,
} from "./note.ts";

/** The longest note that is read, bytes. */
export const MAX_NOTE_BYTES = 1_000_000;
const MAX_SIGNATURES = 100;

/** The message of the error where every signature is by a key that the caller does not know. */
export const NO_KNOWN_KEY = "No signature is by a known key.";

const bad = (message: string): VakError => new VakError("invalid-bundle", message);

/**
 * Reads what {@link formatVkey} writes.
 *
 * @throws VakError `invalid-bundle` when it is malformed, `unsupported` when the key is not Ed25519
 */
export function parseVkey(vkey: string): Verifier {
  const match = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/s.exec(vkey);
  if (!match || !isKeyName(match[1]!)) throw bad("Not a verifier key: it should look like name+0123abcd+base64.");
  const name = match[1]!;
  const key = fromBase64(match[3]!);
  if (bytesToHex(keyIdOf(name, key)) !== match[2]) throw bad(`The verifier key of ${name} does not match its key id.`);
  if ((key[0] !== ED25519 && key[0] !== COSIGNATURE) || key.length !== 33) {
    throw new VakError("unsupported", `The key of ${name} is not Ed25519.`);
  }
  return verifierOf(name, key);
}

/**
 * Reads a note without verifying its signatures.
 *
 * @throws VakError `invalid-bundle` saying what is malformed
 */
export function parseNote(bytes: Uint8Array): Note {
  if (bytes.length > MAX_NOTE_BYTES)
    throw bad(`The note has ${bytes.length} bytes; at most ${MAX_NOTE_BYTES} are read.`);
  const all = fromUtf8(bytes);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the format forbids them
  if (/[\0-\x09\x0b-\x1f]/.test(all)) throw bad("The note holds a control character.");
  const blank = all.lastIndexOf("\n\n");
  if (blank < 0 || !all.endsWith("\n")) throw bad("The note has no signatures.");
  const lines = all.slice(blank + 2, -1).split("\n");
  if (lines.length > MAX_SIGNATURES) throw bad(`The note has more than ${MAX_SIGNATURES} signatures.`);
  const signatures = lines.map((line, i) => {
    const [, name, base64] = /^— (\S+) (\S+)$/u.exec(line) ?? [];
    if (name === undefined || base64 === undefined || !isKeyName(name)) throw bad(`Signature ${i + 1} is malformed.`);
    const signed = fromBase64(base64);
    if (signed.length <= KEY_ID_BYTES) throw bad(`Signature ${i + 1} is too short.`);
    return { name, keyId: signed.slice(0, KEY_ID_BYTES), signature: signed.slice(KEY_ID_BYTES) };
  });
  return { text: all.slice(0, blank + 1), signatures };
}

/**
 * The verifiers that signed the note. Signatures by other keys are ignored, as the format says, and so is a second one
 * by the same key.
 *
 * @throws VakError `invalid-bundle` when a signature by one of the verifiers is wrong, or none of them signed
 */
export async function verifyNote(note: Note, verifiers: readonly Verifier[]): Promise<Verifier[]> {
  const signers: Verifier[] = [];
  for (const { name, keyId, signature } of note.signatures) {
    const verifier = verifiers.find((v) => v.name === name && equalBytes(v.keyId, keyId));
    if (!verifier || signers.includes(verifier)) continue;
    if (!(await isSignedBy(verifier, signature, note.text))) throw bad(`The signature by ${name} is wrong.`);
    signers.push(verifier);
  }
  if (signers.length === 0) throw bad(NO_KNOWN_KEY);
  return signers;
}

async function isSignedBy({ publicKey, cosigns }: Verifier, signature: Bytes, text: string): Promise<boolean> {
  if (!cosigns) return verifyEd25519(signature, toUtf8(text), publicKey);
  if (signature.length !== TIME_BYTES + 64) return false;
  return verifyEd25519(signature.slice(TIME_BYTES), cosignedMessage(cosignedAt(signature), text), publicKey);
}

const TIME_BYTES = 8;

/** What a witness signs: the text of a note, and when it saw it, in seconds since 1970. */
export function cosignedMessage(time: bigint, text: string): Bytes {
  return toUtf8(`cosignature/v1\ntime ${time}\n${text}`);
}

/** When the witness that made this signature saw the note, in seconds since 1970. */
export function cosignedAt(signature: Bytes): bigint {
  return new DataView(signature.buffer, signature.byteOffset).getBigUint64(0);
}
