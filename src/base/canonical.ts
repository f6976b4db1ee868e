/** Canonical JSON (RFC 8785): one spelling for each value, so that equal values have equal bytes and equal digests. */

import { VakError } from "../errors.ts";
import type { Bytes } from "./bytes.ts";
import { isPlain } from "./guards.ts";
import { fromUtf8, toUtf8 } from "./utf8.ts";

/** How deeply arrays and objects may be nested. */
export const MAX_JSON_DEPTH = 64;

/**
 * The canonical JSON of a value made of strings, finite numbers, booleans, null, arrays and plain objects.
 *
 * @throws VakError `invalid-argument` for anything else (`undefined`, NaN, a lone surrogate, a class instance, …) and
 *   for more than `maxDepth` levels
 * @example canonicalJson({ b: [1, "é"], a: null }); // '{"a":null,"b":[1,"é"]}'
 */
export function canonicalJson(value: unknown, maxDepth = MAX_JSON_DEPTH): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return quote(value);
  // ECMAScript's own number format is the one that RFC 8785 prescribes.
  if (typeof value === "number" && Number.isFinite(value)) return JSON.stringify(value);
  if (typeof value !== "object") throw refuse(`it holds ${typeof value === "number" ? value : `a ${typeof value}`}`);
  if (maxDepth === 0) throw refuse("it is nested too deeply");
  let json = "";
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) json += `${i === 0 ? "" : ","}${canonicalJson(value[i], maxDepth - 1)}`;
    return `[${json}]`;
  }
  if (!isPlain(value)) throw refuse("it holds an object that is not plain");
  // The default sort is by UTF-16 code units, as RFC 8785 §3.2.3 wants it.
  for (const key of Object.keys(value).sort()) {
    json += `${json === "" ? "" : ","}${quote(key)}:${canonicalJson((value as Record<string, unknown>)[key], maxDepth - 1)}`;
  }
  return `{${json}}`;
}

/** {@link canonicalJson} as UTF-8. */
export function canonicalBytes(value: unknown, maxDepth?: number): Bytes {
  return toUtf8(canonicalJson(value, maxDepth));
}

/**
 * Parses bytes that must be canonical JSON.
 *
 * @throws VakError `invalid-bundle` when they are not JSON, or not in its canonical spelling
 */
export function parseCanonical(bytes: Uint8Array, maxDepth?: number): unknown {
  return parseCanonicalText(fromUtf8(bytes), maxDepth);
}

/** As {@link parseCanonical}. */
export function parseCanonicalText(text: string, maxDepth?: number): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new VakError("invalid-bundle", "It is not JSON.");
  }
  // The fast path: fields in order, no \u escapes, and the engine writes it the same way.
  if (!text.includes("\\u") && isOrdered(value, maxDepth ?? MAX_JSON_DEPTH) && JSON.stringify(value) === text)
    return value;
  let canonical: string | undefined;
  try {
    canonical = canonicalJson(value, maxDepth);
  } catch {}
  if (canonical !== text) throw new VakError("invalid-bundle", "It is not canonical JSON (RFC 8785).");
  return value;
}

/** Whether the fields of a parsed value are in the order of RFC 8785 §3.2.3; false if it is nested too deeply. */
function isOrdered(value: unknown, maxDepth: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (maxDepth === 0) return false;
  if (Array.isArray(value)) return value.every((item) => isOrdered(item, maxDepth - 1));
  let last: string | undefined;
  for (const key of Object.keys(value)) {
    if (last !== undefined && key < last) return false;
    if (!isOrdered((value as Record<string, unknown>)[key], maxDepth - 1)) return false;
    last = key;
  }
  return true;
}

function quote(text: string): string {
  if (!text.isWellFormed()) throw refuse("it holds a lone surrogate");
  return JSON.stringify(text);
}

function refuse(why: string): VakError {
  return new VakError("invalid-argument", `The value cannot be written as canonical JSON: ${why}.`);
}
