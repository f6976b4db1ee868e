/**
 * Private values, such as the input and the output of a call. The log holds only a commitment to each,
 *
 *     SHA-256( salt ‖ canonical JSON of the value as UTF-8 ),  in lower-case hex,  the salt being 16 random bytes,
 *
 * and the value is kept beside the log in `values/<seq>.json`, where it can be deleted: without the salt the commitment
 * reveals nothing about it, however few values were possible. That file is the canonical JSON of
 *
 *     { "input":  { "salt": <32 hex digits>, "value": … } }     beside an intent or a denial
 *     { "output": { "salt": <32 hex digits>, "value": … } }     beside an outcome
 *     { "input":  … }                                           beside a run-start: environment and stdin
 *     { "trace":  … }                                           beside a trace or a run-end: see `protocol/trace.ts`
 *
 * A secret is never stored, nor is anything that could confirm a guess of it: the value that is committed to has null
 * in its place. `"withheld"` beside the value then lists these places, as JSON pointers (RFC 6901) in the order of the
 * value, and the commitment covers that list: its canonical JSON follows the value's.
 */

import { bytesToHex, randomBytes } from "@noble/hashes/utils.js";
import type { Bytes } from "../base/bytes.ts";
import { joinBytes } from "../base/bytes.ts";
import { canonicalJson, MAX_JSON_DEPTH } from "../base/canonical.ts";
import { childPointer } from "../base/pointer.ts";
import { sha256HexOf } from "../base/sha256.ts";
import { toUtf8 } from "../base/utf8.ts";
import { sha256Of } from "../tlog/merkle.ts";
import type { Entry } from "./entry.ts";
import type { Digest } from "./vocabulary/common.ts";

export const SALT_BYTES = 16;
export const FILE_DEPTH = MAX_JSON_DEPTH + 2;

/** A call's input or answer is at most 64 MiB of JSON; a trace is less. */
export const MAX_VALUE_BYTES = 65 * 2 ** 20;

export type ValueKind = "input" | "output" | "trace";

/** What an entry says about a value, and what is kept beside it. */
export interface Commitment {
  kind: ValueKind;
  digest: Digest;
  /** The bytes of `values/<seq>.json`. */
  file: Bytes;
}

function commitment(salt: Uint8Array, json: string): Digest {
  return bytesToHex(sha256Of(salt, toUtf8(json)));
}

/**
 * Commits to a value under a fresh salt.
 *
 * @param secrets JSON pointers to the values within that are left out
 * @throws VakError `invalid-argument` when the value is not JSON
 */
export function commitValue(kind: ValueKind, value: unknown, secrets: readonly string[] = []): Commitment {
  const withheld: string[] = [];
  const kept = secrets.length > 0 ? withhold(value, "", new Set(secrets), withheld) : value;
  const json = canonicalJson(kept);
  const list = withheld.length > 0 ? canonicalJson(withheld) : "";
  const salt = randomBytes(SALT_BYTES);
  const file = toUtf8(
    `{"${kind}":{"salt":"${bytesToHex(salt)}","value":${json}${list === "" ? "" : `,"withheld":${list}`}}}`,
  );
  return { kind, digest: commitment(salt, json + list), file };
}

/** From this many characters of JSON on, it pays to have the browser do the hashing. */
const LARGE = 64 * 1024;

/** As {@link commitValue}, for a value that may be large: hashed off the main thread. */
export async function commitLarge(kind: ValueKind, value: unknown): Promise<Commitment> {
  const json = canonicalJson(value);
  const salt = randomBytes(SALT_BYTES);
  const file = toUtf8(`{"${kind}":{"salt":"${bytesToHex(salt)}","value":${json}}}`);
  if (json.length < LARGE) return { kind, digest: commitment(salt, json), file };
  return { kind, digest: await sha256HexOf(joinBytes([salt, toUtf8(json)])), file };
}

/** A copy with null in place of each secret; adds the pointer to each secret that was there to `withheld`. */
export function withhold(value: unknown, pointer: string, secrets: ReadonlySet<string>, withheld: string[]): unknown {
  if (secrets.has(pointer)) {
    withheld.push(pointer);
    return null;
  }
  if (Array.isArray(value)) return value.map((item, i) => withhold(item, `${pointer}/${i}`, secrets, withheld));
  if (typeof value !== "object" || value === null) return value;
  const copy = Object.create(null);
  for (const [key, item] of Object.entries(value)) {
    copy[key] = withhold(item, childPointer(pointer, key), secrets, withheld);
  }
  return copy;
}

/** The value that an entry commits to, or undefined when it commits to none. */
export function committedValue(entry: Entry): { kind: ValueKind; digest: Digest } | undefined {
  const called = entry.type === "intent" || entry.type === "denial" || entry.type === "run-start";
  if (called && entry.inputDigest !== null) return { kind: "input", digest: entry.inputDigest };
  const traced = entry.type === "trace" || entry.type === "run-end";
  if (traced && entry.traceDigest !== null) return { kind: "trace", digest: entry.traceDigest };
  if (entry.type === "outcome" && entry.outputDigest !== null) return { kind: "output", digest: entry.outputDigest };
  return undefined;
}
