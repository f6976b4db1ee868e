/**
 * Text that a stranger wrote, split into pieces that can be shown as they are and characters that must be shown by
 * their code points: invisible ones, ones that move other text, and letters that pass for others.
 */
export type Piece =
  | { kind: "text"; text: string }
  | { kind: "newline" }
  /** A character that is invisible, or that moves the text beside it, `times` in a row. */
  | { kind: "hidden"; code: string; times: number }
  /** A letter that looks like one of another alphabet, in a word of that alphabet. */
  | { kind: "lookalike"; text: string; code: string }
  /** `length` UTF-16 units are left out here. */
  | { kind: "cut"; length: number };

/**
 * Controls, lone surrogates, unassigned and private code points, format characters (bidirectional ones included), what
 * renderers ignore, every space except the plain one, and the blank of Braille.
 */
const HIDDEN = /^(?:[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u2800]|\p{Default_Ignorable_Code_Point}|(?! )\p{Zs})$/u;

/** Words that mix Latin letters with letters of scripts that have lookalikes of them. */
const MIXED =
  /(?=\p{L}*[A-Za-z])\p{L}*[\p{Script=Cyrl}\p{Script=Grek}\p{Script=Armn}\p{Script=Cher}\p{Script=Lisu}]\p{L}*/gu;
const FOREIGN = /^[\p{Script=Cyrl}\p{Script=Grek}\p{Script=Armn}\p{Script=Cher}\p{Script=Lisu}]$/u;
/** Full-width, mathematical and letter-like forms of Latin letters: marked in any word. */
const STYLED = /^[\uff21-\uff3a\uff41-\uff5a\u{1d400}-\u{1d7ff}\u2100-\u214f]$/u;

/** Combining marks that are shown on one letter; more could cover the lines above. */
const MAX_MARKS = 2;

/** @param limit UTF-16 units to show at most: of a longer text its beginning, and as the last quarter its end */
export function piecesOf(text: string, limit: number): Piece[] {
  if (text.length <= limit) return read(text);
  const tail = Math.floor(limit / 4);
  const end = wholeAt(text, limit - tail);
  const start = wholeAt(text, text.length - tail);
  return [...read(text.slice(0, end)), { kind: "cut", length: start - end }, ...read(text.slice(start))];
}

/** The index, or the one before where this would split a surrogate pair. */
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
