/** Encodings in which a leak can hide: percent-encoding, `\u` escapes, base64, hexadecimal, gzip and deflate. */

import { fromBinary } from "../base/binary.ts";
import { joinBytes } from "../base/bytes.ts";

/** Characters that one search still reads and unpacks. */
export interface Budget {
  chars: number;
}

/** A stretch of a text that is or may be an encoding, and the texts that it then decodes to. */
export interface Encoded {
  start: number;
  end: number;
  texts: string[];
}

/** Decoded bytes count as text if all of them are, from this many on; among other bytes, only longer runs do. */
const MIN_TEXT = 6;
const RUN = /[\t\r\n\x20-\x7e]{12,}/g;

const WORD = /[^\s"'<>&=?#;,/]+/g;
const BASE64 = /[A-Za-z0-9+/_-]{12,}(?:\r?\n[A-Za-z0-9+/_-]+)*/g;
const HEX = /(?:[0-9A-Fa-f]{2}){8,}/g;

/** Everything in a text that may be percent-encoding, `\u` escapes, base64 (from any offset) or hexadecimal. */
export async function findEncoded(text: string, budget: Budget): Promise<Encoded[]> {
  const found: Encoded[] = [];
  for (const { 0: word, index } of text.matchAll(WORD)) {
    const plain = /[%\\]/.test(word) ? decoded(word) : word;
    if (plain !== word) found.push({ start: index, end: index + word.length, texts: [plain] });
  }
  for (const { 0: word, index } of text.matchAll(BASE64)) {
    const texts: string[] = [];
    const letters = word
      .replace(/[\r\n]/g, "")
      .replaceAll("-", "+")
      .replaceAll("_", "/");
    for (let offset = 0; offset < 4; offset++)
      for (const one of await textsIn(fromBase64(letters.slice(offset)), budget)) texts.push(one);
    const end = index + word.length;
    found.push({ start: index, end: end + (/^={1,2}/.exec(text.slice(end, end + 2))?.[0].length ?? 0), texts });
  }
  for (const { 0: word, index } of text.matchAll(HEX)) {
    const bytes = Uint8Array.from({ length: word.length / 2 }, (_, i) =>
      Number.parseInt(word.slice(2 * i, 2 * i + 2), 16),
    );
    found.push({ start: index, end: index + word.length, texts: await textsIn(bytes, budget) });
  }
  return found;
}

/** Decodes percent-encoding and `\u` escapes. */
function decoded(word: string): string {
  const bytes = word.replace(/(?:%[0-9A-Fa-f]{2})+/g, (run) => {
    const codes = run.slice(1).split("%");
    return decoder.decode(Uint8Array.from(codes, (code) => Number.parseInt(code, 16)));
  });
  return bytes.replace(/\\u([0-9A-Fa-f]{4})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}

const decoder = new TextDecoder();
const latin1 = new TextDecoder("latin1");

function fromBase64(letters: string): Uint8Array<ArrayBuffer> {
  const whole = letters.length % 4 === 1 ? letters.slice(0, -1) : letters;
  return fromBinary(atob(whole));
}

/** The plain text in bytes, which are unpacked first if they are packed; none if there is no text in them. */
export async function textsIn(bytes: Uint8Array<ArrayBuffer>, budget: Budget): Promise<string[]> {
  const format = bytes[0] === 0x1f && bytes[1] === 0x8b ? "gzip" : bytes[0] === 0x78 ? "deflate" : undefined;
  const unpacked = format && (await unpack(bytes, format, budget));
  return runsIn(unpacked && unpacked.length > 0 ? unpacked : bytes);
}

/** All of the bytes if they are plain text, else the runs of text in them. UTF-16 has a NUL beside each letter. */
function runsIn(bytes: Uint8Array): string[] {
  const text = latin1.decode(bytes).replaceAll("\0", "");
  if (text.length >= MIN_TEXT && /^[\t\r\n\x20-\x7e]*$/.test(text)) return [text];
  return text.match(RUN) ?? [];
}

/** Unpacks bytes, up to where they break off or the budget ends. */
async function unpack(bytes: Uint8Array<ArrayBuffer>, format: CompressionFormat, budget: Budget): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format)).getReader();
  try {
    while (length <= budget.chars) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      length += value.length;
    }
    if (length > budget.chars) budget.chars = 0; // so that the search ends as `unreadable`
  } catch {
    // The packed data breaks off here; what was unpacked so far is searched.
  } finally {
    reader.cancel().catch(() => {});
  }
  return joinBytes(parts);
}
