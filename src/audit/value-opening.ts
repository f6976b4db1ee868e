/** Reads private values (see `value.ts`). */
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { VakError } from "../errors.ts";
import { canonicalJson, parseCanonical } from "./canonical.ts";
import { toUtf8 } from "./encoding.ts";
import type { Digest } from "./entry.ts";
import { sha256Of } from "./merkle.ts";
import { FILE_DEPTH, SALT_BYTES, type ValueKind } from "./value.ts";

const NOTHING = new Uint8Array();

/** Bytes before the value, the name of its kind aside; and behind it, without and with a list, the list aside. */
const HEAD = '{"":{"salt":"","value":'.length + 2 * SALT_BYTES;
const BARE_TAIL = "}}".length;
const LISTED_TAIL = ',"withheld":}}'.length;

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
  const content = parseCanonical(file, FILE_DEPTH) as Record<string, Record<string, unknown>> | null;
  const { salt, value, withheld = [] } = content?.[kind] ?? {};
  const list = isPointers(withheld) && withheld.length > 0 ? canonicalJson(withheld) : "";
  const known = 2 + (list === "" ? 0 : 1);
  const fields = Object.keys(content?.[kind] ?? {}).length;
  if (
    typeof salt !== "string" ||
    !/^[0-9a-f]{32}$/.test(salt) ||
    value === undefined ||
    fields !== known ||
    Object.keys(content!).length !== 1
  ) {
    throw new VakError("invalid-bundle", `It does not hold one ${kind} and its salt.`);
  }
  // What stands before the value has one length, and what stands behind it one spelling.
  const listBytes = list === "" ? NOTHING : toUtf8(list);
  const tailBytes = list === "" ? BARE_TAIL : LISTED_TAIL + listBytes.length;
  const json = file.subarray(kind.length + HEAD, file.length - tailBytes);
  if (bytesToHex(sha256Of(hexToBytes(salt), json, listBytes)) !== digest) {
    throw new VakError("invalid-bundle", `It does not hold the ${kind} that its entry commits to.`);
  }
  return { value, withheld: list === "" ? [] : (withheld as string[]) };
}

function isPointers(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string" && /^(\/.*)?$/s.test(item));
}
