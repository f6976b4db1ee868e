/** Removes a secret from an answer, in case the server returned it. */

import { toBinary } from "../base/binary.ts";
import { toUtf8 } from "../base/utf8.ts";

export const REDACTED = "REDACTED";

/**
 * Returns a function that removes secrets from a binary string: as they are, percent-encoded, in JSON's escapes, in
 * hexadecimal, and in base64 at any offset. The second word of a secret of two words (`Bearer …`) is a secret too, and
 * so is what `Basic …` encodes.
 */
export function scrubber(secrets: readonly string[]): (binary: string) => string {
  const forms = new Set<string>();
  for (const secret of secrets) {
    const parts = [secret];
    const [, scheme, word] = /^([A-Za-z0-9-]{1,32}) +(\S{6,})$/.exec(secret) ?? [];
    if (word !== undefined) parts.push(word);
    if (word !== undefined && scheme?.toLowerCase() === "basic") parts.push(...pairIn(word));
    for (const part of parts) for (const form of formsOf(part)) if (form.length >= MIN_FORM) forms.add(form);
  }
  if (forms.size === 0) return (binary) => binary;
  const longest = [...forms]
    .sort((a, b) => b.length - a.length)
    .map((form) => form.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&"));
  const pattern = new RegExp(longest.join("|"), "gi");
  return (binary) => binary.replace(pattern, REDACTED);
}

/** Characters of a form below which it could not be told apart from other text. */
const MIN_FORM = 6;

function pairIn(word: string): string[] {
  try {
    const pair = atob(word);
    return [pair, pair.slice(pair.indexOf(":") + 1)];
  } catch {
    return []; // not base64
  }
}

function formsOf(secret: string): string[] {
  const bytes = toUtf8(secret);
  const plain = toBinary(bytes);
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const json = JSON.stringify(secret).slice(1, -1);
  const forms = [
    plain,
    encodeURIComponent(secret),
    encodeURI(secret),
    plain.replaceAll(" ", "+"),
    json,
    json.replaceAll("/", "\\/"),
    hex,
  ];
  for (let offset = 0; offset < 3; offset++) {
    // Without the letters at both ends: they also depend on the bytes around the secret.
    const letters = btoa("\0".repeat(offset) + plain).replace(/=+$/, "");
    const inner = letters.slice(offset === 0 ? 0 : offset + 1, (plain.length + offset) % 3 === 0 ? undefined : -1);
    forms.push(inner, inner.replaceAll("+", "-").replaceAll("/", "_"));
  }
  return forms;
}
