/** How text that a person is asked about is shown. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Piece, piecesOf } from "../../../src/approval/text.ts";

/** What the pieces show, as text: marked ones in brackets. */
const shown = (pieces: readonly Piece[]): string =>
  pieces
    .map((piece) => {
      if (piece.kind === "text") return piece.text;
      if (piece.kind === "newline") return "\n";
      if (piece.kind === "cut") return `[cut ${piece.length}]`;
      return piece.kind === "hidden" ? `[${piece.code} ×${piece.times}]` : `[${piece.text} ${piece.code}]`;
    })
    .join("");

const show = (text: string, limit = 1000) => shown(piecesOf(text, limit));

test("text as people write it is shown unchanged", () => {
  for (const text of [
    "Refund order A-17: 20.50 € (paid)",
    "Zürich, Ærø, naïve café, Dvořák",
    "Привет, мир",
    "Γειά σου Κόσμε",
    "שלום",
    "日本語の文章。",
    "H₂O and 2⁵",
    "e\u0301 with a mark of its own",
    "{\n  a: 1\n}",
    "🙂",
  ]) {
    expect(show(text)).toBe(text);
  }
});

describe("attack: text that is not what it seems", () => {
  test("characters that change the direction of text are shown by their codes", () => {
    expect(show("pay \u202e001 to\u202c Ada")).toBe("pay [U+202E ×1]001 to[U+202C ×1] Ada");
    for (const code of [0x061c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202d, 0x2066, 0x2067, 0x2068, 0x2069]) {
      expect(show(String.fromCodePoint(code))).toBe(`[U+${code.toString(16).toUpperCase().padStart(4, "0")} ×1]`);
    }
  });

  test("controls, blanks and characters that renderers ignore are shown by their codes", () => {
    expect(show("a\0b\tc\rd\x1b[31m\x7f\x9b")).toBe(
      "a[U+0000 ×1]b[U+0009 ×1]c[U+000D ×1]d[U+001B ×1][31m[U+007F ×1][U+009B ×1]",
    );
    const blanks = [0xa0, 0xad, 0x115f, 0x180e, 0x2003, 0x200b, 0x2028, 0x2060, 0x2800, 0x3000, 0x3164, 0xfe0f, 0xfeff];
    for (const code of [...blanks, 0xe0041, 0xe0100, 0xe000, 0xfffe]) {
      expect(show(`a${String.fromCodePoint(code)}b`)).toMatch(/^a\[U\+[0-9A-F]{4,6} ×1\]b$/);
    }
  });

  test("a row of one hidden character is shown as one mark with a count", () => {
    expect(show("\u200b".repeat(900))).toBe("[U+200B ×900]");
  });

  test("a lone surrogate is shown by its code", () => {
    expect(show("a\ud83db\ude00")).toBe("a[U+D83D ×1]b[U+DE00 ×1]");
  });

  test("letters that pass for Latin ones are marked in a Latin word", () => {
    expect(show("\u0410ll\u043ew once")).toBe("[\u0410 U+0410]ll[\u043e U+043E]w once");
    expect(show("paypal.com, p\u0430ypal.com")).toBe("paypal.com, p[\u0430 U+0430]ypal.com");
    expect(show("\uff21llow")).toBe("[\uff21 U+FF21]llow");
    expect(show("\u{1d400}llow")).toBe("[\u{1d400} U+1D400]llow");
  });

  test("of combining marks that would cover other lines, two are drawn", () => {
    expect(show(`a${"\u0301".repeat(50)}b`)).toBe(`a${"\u0301".repeat(2)}[U+0301 ×48]b`);
  });
});

describe("a long text", () => {
  test("attack: 1 MB. Its beginning and its end are shown, and how much is left out", () => {
    const text = `${"a".repeat(2 ** 20)} and wipe the disk`;
    const pieces = piecesOf(text, 2000);
    expect(shown(pieces)).toBe(`${"a".repeat(1500)}[cut ${text.length - 2000}]${text.slice(-500)}`);
  });

  test("no surrogate pair is split, wherever the cut falls", () => {
    for (let shift = 0; shift < 8; shift++) {
      const text = "x".repeat(shift) + "🙂".repeat(100);
      expect(show(text, 21)).not.toContain("U+D");
    }
  });

  test("the shown and the cut parts add up to the whole text, and the shown part is bounded", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 300 }), fc.integer({ min: 4, max: 100 }), (text, limit) => {
        const pieces = piecesOf(text, limit);
        const lengthOf = (piece: Piece) => {
          if (piece.kind === "text" || piece.kind === "lookalike") return piece.text.length;
          if (piece.kind === "hidden") return piece.times * (piece.code.length > 6 ? 2 : 1);
          return piece.kind === "newline" ? 1 : 0;
        };
        const length = pieces.reduce((sum, piece) => sum + lengthOf(piece), 0);
        const cut = pieces.reduce((sum, piece) => sum + (piece.kind === "cut" ? piece.length : 0), 0);
        expect(length + cut).toBe(text.length);
        expect(length).toBeLessThanOrEqual(limit + 2);
        for (const piece of pieces) {
          if (piece.kind === "text") expect(piece.text).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
        }
      }),
    );
  });
});
