/**
 * Finds in what is about to leave what may not: by known forms and their check digits, and inside of the usual encodings.
 * It is a net, not a wall: who encrypts, or writes in a code of their own, gets through. Where nothing may leak, only
 * where to (`allow`) and how much (budgets) can be bounded.
 */

import luhn from "fast-luhn";
import { getCountrySpecifications, isValidIBAN } from "ibantools";
import { joinBytes } from "../base/bytes.ts";
import { findKeys } from "./keys.ts";
import { fromBinary } from "./scrub.ts";

/**
 * `key`: keys, tokens, passwords in connection strings. `card`: numbers of payment cards. `iban`. `email`. `entropy`: what
 * looks drawn at random. `unreadable`: what could not be looked into to its end.
 */
export type LeakKind = "key" | "card" | "iban" | "email" | "entropy" | "unreadable";

export interface Leak {
  kind: LeakKind;
  /** From where to where in the text, UTF-16 units; of something that is encoded, all of its encoding. */
  start: number;
  end: number;
}

/** Encodings within encodings. */
const MAX_DEPTH = 5;
/** Characters that are looked at in one search, what was decoded included; the same bounds what is unpacked. */
const MAX_CHARS = 2 * 2 ** 20;
/** From so many characters on, the page has its turn before the search goes on. */
const LONG = 32 * 1024;
/** Plain text in decoded bytes that is no accident: so much of nothing else, or such a run among other bytes. */
const MIN_TEXT = 6;
const RUN = /[\t\r\n\x20-\x7e]{12,}/g;

/** How much may still be looked at. */
interface Budget {
  chars: number;
}

/**
 * Finds leaks in a text, also within base64 (URL-safe or not, in lines, from any offset), hexadecimal, percent-encoding,
 * `\u` escapes and gzip, five levels deep and over 2 Mi characters; past that it says `unreadable`.
 *
 * @example (await findLeaks("card=4111%201111%201111%201111")).map(({ kind }) => kind) // ["card"]
 */
export async function findLeaks(text: string): Promise<Leak[]> {
  return scan(text, 0, { chars: MAX_CHARS });
}

/** The kinds of leaks in bytes: as {@link findLeaks}, unpacked where they are packed; `unreadable` where they are no text. */
export async function kindsIn(bytes: Uint8Array<ArrayBuffer>): Promise<Set<LeakKind>> {
  const budget = { chars: MAX_CHARS };
  const texts = await textsIn(bytes, budget);
  const found = new Set<LeakKind>();
  for (const text of texts) for (const { kind } of await scan(text, 0, budget)) found.add(kind);
  if (bytes.length > 0 && texts.length !== 1) found.add("unreadable");
  return found;
}

async function scan(text: string, depth: number, budget: Budget): Promise<Leak[]> {
  budget.chars -= text.length;
  if (budget.chars < 0) return [{ kind: "unreadable", start: 0, end: text.length }];
  if (text.length >= LONG) await new Promise((resolve) => setTimeout(resolve));
  const found = [
    ...(await findKeys(text)).map(([start, end]): Leak => ({ kind: "key", start, end })),
    ...numbers(text),
  ];
  /** Which characters have been read, or have a name already: they are not random. */
  const explained = new Uint8Array(text.length);
  for (const { start, end } of found) explained.fill(1, start, end);
  for (const { start, end, texts } of await encoded(text, budget)) {
    if (texts.length > 0) explained.fill(1, start, end);
    for (const inner of texts) {
      if (depth === MAX_DEPTH) found.push({ kind: "unreadable", start, end });
      else for (const { kind } of await scan(inner, depth + 1, budget)) found.push({ kind, start, end });
    }
  }
  found.push(...random(text).filter(({ start, end }) => !explained.subarray(start, end).includes(1)));
  return found;
}

/** Both sides of the @ of an e-mail address. */
const MAILBOX = /[A-Za-z0-9._%+-]{1,64}$/;
const DOMAIN = /^(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}/;

/** Digits in groups. */
const DIGITS = /[0-9]+(?:[ +-][0-9]+)*/g;
/** Numbers of Visa, Mastercard, American Express, Discover, JCB, Diners Club and UnionPay. */
const CARD =
  /^(?:4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35\d{14}|3(?:0[0-5]|[68]\d)\d{11}|62\d{14,17})$/;
const MAX_GROUPS = 7;

const IBAN = /(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ +-]?[A-Za-z0-9]){11,30}/g;
const countries = getCountrySpecifications();

function numbers(text: string): Leak[] {
  const found: Leak[] = [];
  for (const { index } of text.matchAll(/@/g)) {
    const mailbox = MAILBOX.exec(text.slice(Math.max(0, index - 64), index))?.[0];
    const domain = DOMAIN.exec(text.slice(index + 1, index + 256))?.[0];
    if (mailbox && domain) {
      found.push({ kind: "email", start: index - mailbox.length, end: index + 1 + domain.length });
    }
  }
  for (const { 0: run, index } of text.matchAll(DIGITS)) {
    const groups = [...run.matchAll(/\d+/g)];
    for (const [i, first] of groups.entries()) {
      let digits = "";
      for (const last of groups.slice(i, i + MAX_GROUPS)) {
        digits += last[0];
        if (digits.length > 19) break;
        const end = index + last.index + last[0].length;
        if (digits.length > 12 && CARD.test(digits) && luhn(digits))
          found.push({ kind: "card", start: index + first.index, end });
      }
    }
  }
  IBAN.lastIndex = 0;
  for (let match = IBAN.exec(text); match; match = IBAN.exec(text)) {
    const length = countries[match[0].slice(0, 2).toUpperCase()]?.chars ?? Infinity;
    let compact = "";
    let end = match.index;
    for (const char of match[0]) {
      if (compact.length === length) break;
      if (/[A-Za-z0-9]/.test(char)) compact += char.toUpperCase();
      end++;
    }
    if (compact.length === length && !/[A-Za-z0-9]/.test(text[end] ?? "") && isValidIBAN(compact)) {
      found.push({ kind: "iban", start: match.index, end });
      IBAN.lastIndex = end;
    } else IBAN.lastIndex = match.index + 1;
  }
  return found;
}

/** What looks random: long, of many different characters, and no word, name or number. */
function random(text: string): Leak[] {
  const found: Leak[] = [];
  for (const { 0: word, index } of text.matchAll(/[A-Za-z0-9+/_=-]{20,}/g)) {
    const hex = /^[0-9A-Fa-f]{32,}$/.test(word);
    const parts = word.match(/[A-Za-z0-9]{20,}/g) ?? [];
    const mixed = (part: string) => /[0-9]/.test(part) && /[A-Za-z]/.test(part) && entropy(part) >= 3.6;
    const long =
      word.length >= 32 && /[0-9]/.test(word) && /[a-z]/.test(word) && /[A-Z]/.test(word) && entropy(word) >= 4.4;
    if ((hex && entropy(word) >= 3) || long || parts.some(mixed)) {
      found.push({ kind: "entropy", start: index, end: index + word.length });
    }
  }
  return found;
}

/** Shannon's, of the characters of a word in ASCII, in bits. */
function entropy(word: string): number {
  const counts = new Uint32Array(128);
  for (let i = 0; i < word.length; i++) counts[word.charCodeAt(i) & 127]!++;
  let bits = 0;
  for (const count of counts) if (count > 0) bits -= (count / word.length) * Math.log2(count / word.length);
  return bits;
}

/** A part of a text that is, or may be, an encoding, and the texts that it then stands for. */
interface Encoded {
  start: number;
  end: number;
  texts: string[];
}

const WORD = /[^\s"'<>&=?#;,/]+/g;
const BASE64 = /[A-Za-z0-9+/_-]{12,}(?:\r?\n[A-Za-z0-9+/_-]+)*/g;
const HEX = /(?:[0-9A-Fa-f]{2}){8,}/g;

async function encoded(text: string, budget: Budget): Promise<Encoded[]> {
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
      texts.push(...(await textsIn(fromBase64(letters.slice(offset)), budget)));
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

/** Without percent-encoding and `\u` escapes. */
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

/** The plain text in bytes, unpacked where they are packed; nothing where there is none. */
async function textsIn(bytes: Uint8Array<ArrayBuffer>, budget: Budget): Promise<string[]> {
  const format = bytes[0] === 0x1f && bytes[1] === 0x8b ? "gzip" : bytes[0] === 0x78 ? "deflate" : undefined;
  const unpacked = format && (await unpack(bytes, format, budget));
  return runsIn(unpacked && unpacked.length > 0 ? unpacked : bytes);
}

/** All of it where it is plain, else the runs of plain text in it. UTF-16 has a NUL beside each letter. */
function runsIn(bytes: Uint8Array): string[] {
  const text = latin1.decode(bytes).replaceAll("\0", "");
  if (text.length >= MIN_TEXT && /^[\t\r\n\x20-\x7e]*$/.test(text)) return [text];
  return text.match(RUN) ?? [];
}

/** What there is in packed bytes, up to where they break off, or there is no more budget. */
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
    if (length > budget.chars) budget.chars = 0; // so that what there is counts as unreadable
  } catch {
    // It breaks off here: what came before is looked at.
  } finally {
    reader.cancel().catch(() => {});
  }
  return joinBytes(parts);
}
