/**
 * Text that a stranger wrote, cut into what may be shown as it is and what has to be shown by its code point: what cannot
 * be seen, what moves other text about, and letters that pass for others.
 */
export type Piece =
  | { kind: "text"; text: string }
  | { kind: "newline" }
  /** The same character so many times in a row, of which nothing can be seen, or which moves what stands beside it. */
  | { kind: "hidden"; code: string; times: number }
  /** A letter that looks like one of another alphabet, in a word of that alphabet. */
  | { kind: "lookalike"; text: string; code: string }
  /** So many UTF-16 units are left out here. */
  | { kind: "cut"; length: number };

/**
 * Controls, halves of surrogate pairs, code points that mean nothing, format characters (the bidirectional ones too), what
 * renderers ignore, every space but the plain one, and the blank of Braille.
 */
const HIDDEN = /^(?:[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u2800]|\p{Default_Ignorable_Code_Point}|(?! )\p{Zs})$/u;

/** Letters in words with Latin ones that are told from them by their code alone; full-width and mathematical ones always. */
const MIXED =
  /(?=\p{L}*[A-Za-z])\p{L}*[\p{Script=Cyrl}\p{Script=Grek}\p{Script=Armn}\p{Script=Cher}\p{Script=Lisu}]\p{L}*/gu;
const FOREIGN = /^[\p{Script=Cyrl}\p{Script=Grek}\p{Script=Armn}\p{Script=Cher}\p{Script=Lisu}]$/u;
const STYLED = /^[\uff21-\uff3a\uff41-\uff5a\u{1d400}-\u{1d7ff}\u2100-\u214f]$/u;

/** Marks on one letter that are shown; more of them would cover the lines above. */
const MAX_MARKS = 2;

/** @param limit UTF-16 units that are shown at most: of a longer text its beginning, and as a quarter of that its end */
export function piecesOf(text: string, limit: number): Piece[] {
  if (text.length <= limit) return read(text);
  const tail = Math.floor(limit / 4);
  const end = wholeAt(text, limit - tail);
  const start = wholeAt(text, text.length - tail);
  return [...read(text.slice(0, end)), { kind: "cut", length: start - end }, ...read(text.slice(start))];
}

/** The place, or the one before it where it would part a pair. */
const wholeAt = (text: string, at: number): number =>
  /^[\ud800-\udbff][\udc00-\udfff]$/.test(text.slice(at - 1, at + 1)) ? at - 1 : at;

function read(text: string): Piece[] {
  const inWords = new Set<number>();
  for (const { 0: word, index } of text.matchAll(MIXED)) for (let i = 0; i < word.length; i++) inWords.add(index + i);
  const pieces: Piece[] = [];
  let marks = 0;
  let at = 0;
  for (const character of text) {
    const last = pieces.at(-1);
    marks = /^\p{M}$/u.test(character) ? marks + 1 : 0;
    if (character === "\n") pieces.push({ kind: "newline" });
    else if (marks > MAX_MARKS || HIDDEN.test(character)) {
      const code = codeOf(character);
      if (last?.kind === "hidden" && last.code === code) last.times++;
      else pieces.push({ kind: "hidden", code, times: 1 });
    } else if (STYLED.test(character) || (inWords.has(at) && FOREIGN.test(character))) {
      pieces.push({ kind: "lookalike", text: character, code: codeOf(character) });
    } else if (last?.kind === "text") last.text += character;
    else pieces.push({ kind: "text", text: character });
    at += character.length;
  }
  return pieces;
}

const codeOf = (character: string): string =>
  `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`;
