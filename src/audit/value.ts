/**
 * Private values: what a call took in and gave out. The log holds only a commitment to each,
 *
 *     SHA-256( salt ‖ canonical JSON of the value as UTF-8 ),  in lower-case hex,  the salt being 16 random bytes,
 *
 * and the value stands beside the log in `values/<seq>.json`, where it can be deleted: without the salt the commitment
 * tells nothing about it, however few values were possible. That file is the canonical JSON of
 *
 *     { "input":  { "salt": <32 hex digits>, "value": … } }     beside an intent or a denial
 *     { "output": { "salt": <32 hex digits>, "value": … } }     beside an outcome
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes, randomBytes } from "@noble/hashes/utils.js";
import { VakError } from "../errors.ts";
import { canonicalJson, MAX_DEPTH, parseCanonical } from "./canonical.ts";
import { toUtf8 } from "./encoding.ts";
import type { Digest, Entry } from "./entry.ts";
import type { Bytes } from "./merkle.ts";

const SALT_BYTES = 16;
const FILE_DEPTH = MAX_DEPTH + 2;

export type ValueKind = "input" | "output";

function commitment(salt: Uint8Array, json: string): Digest {
  return bytesToHex(sha256.create().update(salt).update(toUtf8(json)).digest());
}

/**
 * Commits to a value under a fresh salt: the digest for the entry, the bytes for `values/<seq>.json`.
 *
 * @throws VakError `invalid-argument` when the value is not JSON
 */
export function commitValue(kind: ValueKind, value: unknown): { digest: Digest; file: Bytes } {
  const json = canonicalJson(value);
  const salt = randomBytes(SALT_BYTES);
  const file = toUtf8(`{"${kind}":{"salt":"${bytesToHex(salt)}","value":${json}}}`);
  return { digest: commitment(salt, json), file };
}

/** The value that an entry commits to, or undefined when it commits to none. */
export function committedValue(entry: Entry): { kind: ValueKind; digest: Digest } | undefined {
  if ((entry.type === "intent" || entry.type === "denial") && entry.inputDigest !== null) {
    return { kind: "input", digest: entry.inputDigest };
  }
  if (entry.type === "outcome" && entry.outputDigest !== null) return { kind: "output", digest: entry.outputDigest };
  return undefined;
}

/**
 * Opens `values/<seq>.json` and checks it against the digest in its entry.
 *
 * @throws VakError `invalid-bundle` when the file is malformed or holds another value
 */
export function openValue(file: Uint8Array, kind: ValueKind, digest: Digest): unknown {
  const content = parseCanonical(file, FILE_DEPTH) as Record<string, { salt: string; value: unknown }> | null;
  const { salt, value } = content?.[kind] ?? {};
  const spelled = canonicalJson({ [kind]: { salt: salt ?? null, value: value ?? null } }, FILE_DEPTH);
  if (typeof salt !== "string" || !/^[0-9a-f]{32}$/.test(salt) || canonicalJson(content, FILE_DEPTH) !== spelled) {
    throw new VakError("invalid-bundle", `It does not hold one ${kind} and its salt.`);
  }
  if (commitment(hexToBytes(salt), canonicalJson(value)) !== digest) {
    throw new VakError("invalid-bundle", `It does not hold the ${kind} that its entry commits to.`);
  }
  return value;
}
