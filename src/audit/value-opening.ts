/** Opens private values: reads the files that `value.ts` writes, and checks them against their commitments. */

import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { canonicalJson, MAX_JSON_DEPTH, parseCanonical, parseCanonicalText } from "../base/canonical.ts";
import { fromUtf8, toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { sha256Of } from "../tlog/merkle.ts";
import { FILE_DEPTH, SALT_BYTES, type ValueKind } from "./value.ts";
import type { Digest } from "./vocabulary/common.ts";

const NOTHING = new Uint8Array();

const SALT_CHARS = 2 * SALT_BYTES;
/** The text between salt and value, before the list of what was withheld, and at the end, all of it ASCII. */
const BEHIND_SALT = '","value":';
const LIST = ',"withheld":';
const TAIL = "}}";

/** A value that was opened. */
export interface OpenedValue {
  /** With null in place of each secret. */
  value: unknown;
  /** JSON pointers to the secrets that were left out. */
  withheld: string[];
}

/**
 * Opens `values/<seq>.json` and checks it against the digest in its entry.
 *
 * @throws VakError `invalid-bundle` when the file is malformed or holds another value
 */
export function openValue(file: Uint8Array, kind: ValueKind, digest: Digest): OpenedValue {
  const { salt, value, withheld } = readBare(file, kind) ?? readAny(file, kind);
  const list = withheld.length > 0 ? toUtf8(canonicalJson(withheld)) : NOTHING;
  const tailBytes = TAIL.length + (withheld.length > 0 ? LIST.length + list.length : 0);
  const json = file.subarray(headOf(kind).length + SALT_CHARS + BEHIND_SALT.length, file.length - tailBytes);
  if (bytesToHex(sha256Of(hexToBytes(salt), json, list)) !== digest) {
    throw new VakError("invalid-bundle", `It does not hold the ${kind} that its entry commits to.`);
  }
  return { value, withheld };
}

interface Content extends OpenedValue {
  salt: string;
}

/** The fast path, for a file without secrets, as nearly all are: around the value the text is always the same. */
function readBare(file: Uint8Array, kind: ValueKind): Content | undefined {
  const text = fromUtf8(file);
  const head = headOf(kind);
  const behind = head.length + SALT_CHARS;
  const salt = text.slice(head.length, behind);
  if (!text.startsWith(head) || !text.startsWith(BEHIND_SALT, behind) || !text.endsWith(TAIL) || !isSalt(salt)) {
    return undefined;
  }
  try {
    const value = parseCanonicalText(text.slice(behind + BEHIND_SALT.length, -TAIL.length), MAX_JSON_DEPTH);
    return { salt, value, withheld: [] };
  } catch {
    return undefined; // A list may follow the value; if not, readAny says what is wrong.
  }
}

function readAny(file: Uint8Array, kind: ValueKind): Content {
  const content = parseCanonical(file, FILE_DEPTH) as Record<string, Record<string, unknown>> | null;
  const { salt, value, withheld } = content?.[kind] ?? {};
  const known = withheld === undefined ? 2 : 3;
  if (
    !isSalt(salt) ||
    value === undefined ||
    (withheld !== undefined && !isPointers(withheld)) ||
    Object.keys(content![kind]!).length !== known ||
    Object.keys(content!).length !== 1
  ) {
    throw new VakError("invalid-bundle", `It does not hold one ${kind} and its salt.`);
  }
  return { salt, value, withheld: withheld ?? [] };
}

const headOf = (kind: ValueKind): string => `{"${kind}":{"salt":"`;

function isSalt(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{32}$/.test(value);
}

/** A list of at least one JSON pointer. */
function isPointers(value: unknown): value is string[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((item) => typeof item === "string" && /^(\/.*)?$/s.test(item))
  );
}
