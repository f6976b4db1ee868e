/** E-mail addresses, card numbers (ISO/IEC 7812) and IBANs (ISO 13616) in a text: by form and check digits. */
import luhn from "fast-luhn";
import { getCountrySpecifications, isValidIBAN } from "ibantools";
import type { Span } from "./span.ts";

/** The two sides of the @. */
const MAILBOX = /[A-Za-z0-9._%+-]{1,64}$/;
const DOMAIN = /^(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}/;

export function findEmails(text: string): Span[] {
  const found: Span[] = [];
  for (const { index } of text.matchAll(/@/g)) {
    const mailbox = MAILBOX.exec(text.slice(Math.max(0, index - 64), index))?.[0];
    const domain = DOMAIN.exec(text.slice(index + 1, index + 256))?.[0];
    if (mailbox && domain) found.push([index - mailbox.length, index + 1 + domain.length]);
  }
  return found;
}

/** Digits in groups. */
const DIGITS = /[0-9]+(?:[ +-][0-9]+)*/g;
/** Visa, Mastercard, American Express, Discover, JCB, Diners Club and UnionPay. */
const CARD =
  /^(?:4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35\d{14}|3(?:0[0-5]|[68]\d)\d{11}|62\d{14,17})$/;
const MAX_GROUPS = 7;

/** Any row of groups may be a card number: other numbers can come before and after it. */
export function findCards(text: string): Span[] {
  const found: Span[] = [];
  for (const { 0: run, index } of text.matchAll(DIGITS)) {
    const groups = [...run.matchAll(/\d+/g)];
    for (const [i, first] of groups.entries()) {
      let digits = "";
      for (const last of groups.slice(i, i + MAX_GROUPS)) {
        digits += last[0];
        if (digits.length > 19) break;
        if (digits.length > 12 && CARD.test(digits) && luhn(digits)) {
          found.push([index + first.index, index + last.index + last[0].length]);
        }
      }
    }
  }
  return found;
}

const IBAN = /(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ +-]?[A-Za-z0-9]){11,30}/g;
const countries = getCountrySpecifications();

export function findIbans(text: string): Span[] {
  const found: Span[] = [];
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
      found.push([match.index, end]);
      IBAN.lastIndex = end;
    } else IBAN.lastIndex = match.index + 1; // an IBAN may begin within what only looked like one
  }
  return found;
}
