/** Words in a text that look random, as keys of unknown form do: by Shannon's entropy. */
import type { Span } from "./span.ts";

/** Long words of many different characters, other than words of a language, names and numbers. */
export function findNoise(text: string): Span[] {
  const found: Span[] = [];
  for (const { 0: word, index } of text.matchAll(/[A-Za-z0-9+/_=-]{20,}/g)) {
    const hex = /^[0-9A-Fa-f]{32,}$/.test(word);
    const parts = word.match(/[A-Za-z0-9]{20,}/g) ?? [];
    const mixed = (part: string) => /[0-9]/.test(part) && /[A-Za-z]/.test(part) && entropy(part) >= 3.6;
    const long =
      word.length >= 32 && /[0-9]/.test(word) && /[a-z]/.test(word) && /[A-Z]/.test(word) && entropy(word) >= 4.4;
    if ((hex && entropy(word) >= 3) || long || parts.some(mixed)) found.push([index, index + word.length]);
  }
  return found;
}

/** Shannon's entropy of the characters of an ASCII word, in bits. */
function entropy(word: string): number {
  const counts = new Uint32Array(128);
  for (let i = 0; i < word.length; i++) counts[word.charCodeAt(i) & 127]!++;
  let bits = 0;
  for (const count of counts) if (count > 0) bits -= (count / word.length) * Math.log2(count / word.length);
  return bits;
}
