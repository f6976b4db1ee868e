/** Takes a secret out of what a server answered, should it say it back. */

export const REDACTED = "REDACTED";

const encoder = new TextEncoder();

/** Bytes as a string of as many characters, in which they can be searched. */
export const toBinary = (bytes: Uint8Array): string => {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
};

export function fromBinary(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/**
 * What takes secrets out of a binary string: as they are, percent-encoded, in JSON's escapes, in hexadecimal, and in base64
 * at any offset. Of a secret in two words (`Bearer …`) the second is one too, and of `Basic …` what it encodes.
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

/** Characters of a form that is told from other text. */
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
  const bytes = encoder.encode(secret);
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
    // Without the letters at both ends, in which the bytes beside it have a part.
    const letters = btoa("\0".repeat(offset) + plain).replace(/=+$/, "");
    const inner = letters.slice(offset === 0 ? 0 : offset + 1, (plain.length + offset) % 3 === 0 ? undefined : -1);
    forms.push(inner, inner.replaceAll("+", "-").replaceAll("/", "_"));
  }
  return forms;
}
