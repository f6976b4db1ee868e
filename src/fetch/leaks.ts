/**
 * Finds leaks in text that is about to leave: by known forms and their check digits, also within the usual encodings.
 * It is a net, not a wall: anyone who encrypts, or uses a code of their own, gets through. Where nothing may leak, the
 * only bounds are where data may go (`allow`) and how much of it (budgets).
 */
import { type Budget, findEncoded, textsIn } from "./encodings.ts";
import { findKeys } from "./keys.ts";
import { findNoise } from "./noise.ts";
import { findCards, findEmails, findIbans } from "./personal.ts";
import type { Span } from "./span.ts";

/**
 * `key`: keys, tokens, passwords in connection strings. `card`: numbers of payment cards. `iban`. `email`. `entropy`:
 * words that look random. `unreadable`: data that could not be searched to its end.
 */
export type LeakKind = "key" | "card" | "iban" | "email" | "entropy" | "unreadable";

export interface Leak {
  kind: LeakKind;
  /** Where it is in the text, in UTF-16 units; if it is encoded, where the whole encoding is. */
  start: number;
  end: number;
}

/** Levels of encodings within encodings. */
const MAX_DEPTH = 5;
/** Characters that one search reads, including those it decoded; also the bound on unpacking. */
const MAX_CHARS = 2 * 2 ** 20;
/** Before the search of a text of at least this many characters, the page gets a turn. */
const LONG = 32 * 1024;

/**
 * Finds leaks in a text, also in base64 (URL-safe or not, in lines, from any offset), hexadecimal, percent-encoding,
 * `\u` escapes and gzip, up to five levels deep and over 2 Mi characters; beyond that it reports `unreadable`.
 *
 * @example (await findLeaks("card=4111%201111%201111%201111")).map(({ kind }) => kind) // ["card"]
 */
export async function findLeaks(text: string): Promise<Leak[]> {
  return scan(text, 0, { chars: MAX_CHARS });
}

/** The kinds of leaks in bytes: as {@link findLeaks}, after unpacking; `unreadable` if they are not all text. */
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
    ...as("key", await findKeys(text)),
    ...as("email", findEmails(text)),
    ...as("card", findCards(text)),
    ...as("iban", findIbans(text)),
  ];
  /** 1 for each character that was decoded, or belongs to a leak already: it is not random. */
  const explained = new Uint8Array(text.length);
  for (const { start, end } of found) explained.fill(1, start, end);
  for (const { start, end, texts } of await findEncoded(text, budget)) {
    if (texts.length > 0) explained.fill(1, start, end);
    for (const inner of texts) {
      if (depth === MAX_DEPTH) found.push({ kind: "unreadable", start, end });
      else for (const { kind } of await scan(inner, depth + 1, budget)) found.push({ kind, start, end });
    }
  }
  const random = findNoise(text).filter(([start, end]) => !explained.subarray(start, end).includes(1));
  return [...found, ...as("entropy", random)];
}

const as = (kind: LeakKind, spans: readonly Span[]): Leak[] => spans.map(([start, end]) => ({ kind, start, end }));
