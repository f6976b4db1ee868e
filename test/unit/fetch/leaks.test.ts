/** Secrets in requests are found, however they are encoded. */
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findLeaks } from "../../../src/fetch/leaks.ts";

const kinds = async (text: string) => [...new Set((await findLeaks(text)).map(({ kind }) => kind))].sort();

/** Assembled at run time, so that no scanner for keys finds one in this file. */
const AWS = `AKIA${"QYLPMN5HFIQR7XYA"}`;
const GITHUB = `ghp_${"A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"}`;
const SLACK = `xoxb-${"123456789012-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx"}`;
const STRIPE = `sk_live_${"4eC39HqLyjWDarjtT1zdp7dc"}`;
const GOOGLE = `AIza${"SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q"}`;
const JWT = `eyJ${"hbGciOiJIUzI1NiJ9"}.eyJ${"zdWIiOiIxMjM0NTY3ODkwIn0"}.${"dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"}`;
const PRIVATE = `-----BEGIN ${"RSA"} PRIVATE KEY-----\nMIIEow`;
const CARD = "4111 1111 1111 1111";
const IBAN = "GB82 WEST 1234 5698 7654 32";

test.each([
  ["AWS", AWS, "key"],
  ["AWS, with letters around it", `abc${AWS}def`, "key"],
  ["GitHub", `token ${GITHUB}.`, "key"],
  ["Slack", SLACK, "key"],
  ["Stripe", STRIPE, "key"],
  ["Google", GOOGLE, "key"],
  ["a JWT", `Bearer ${JWT}`, "key"],
  ["the beginning of a private key", PRIVATE, "key"],
  ["a password in a connection string", `postgres://ann:${"hunter2hunter2"}@db.acme.io:5432/app`, "key"],
  ["a card", `pay with ${CARD}!`, "card"],
  ["a card without spaces", "4111111111111111", "card"],
  ["a card with dashes, after a number", "12 5500-0055-5555-5559", "card"],
  ["American Express", "3782 822463 10005", "card"],
  ["an IBAN", IBAN, "iban"],
  ["an IBAN without spaces, in lower case", "de89370400440532013000", "iban"],
  ["an IBAN after something that begins like one", `AB12 3456 ${IBAN}`, "iban"],
  ["an e-mail address", "write to ann.smith+x@mail.example.com now", "email"],
  ["random hexadecimal", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c", "entropy"],
  ["random characters", "x=kJ8fQ2pLmZ7vR4tYwB9cXs3N", "entropy"],
])("%s is found", async (_, text, kind) => {
  expect(await kinds(text)).toContain(kind);
});

test.each([
  ["an empty text", ""],
  ["prose", "The quick brown fox jumps over the lazy dog, 24 times a day and 365 days a year."],
  ["a card with a wrong digit", "4111 1111 1111 1112"],
  ["an IBAN with a wrong digit", "GB82 WEST 1234 5698 7654 33"],
  ["an IBAN of no country", "ZZ82 WEST 1234 5698 7654 32"],
  ["numbers", "1700000000000 20261120 12345678901234567890 3.14159265358979"],
  ["a path", "/v1/repos/acme/some-rather-long-name-of-a-project/issues"],
  ["JSON", '{"type":"object","properties":{"configuration":{"enableNotifications":true}}}'],
  ["an at sign", "a @ b, @ann, ann@"],
  ["a long word", "Donaudampfschifffahrtsgesellschaftskapitän internationalization"],
  ["base64 of prose", Buffer.from("The quick brown fox jumps over the lazy dog").toString("base64")],
])("%s is not a leak", async (_, text) => {
  expect(await kinds(text)).toEqual([]);
});

const base64 = (text: string) => Buffer.from(text).toString("base64");
const encodings: [string, (text: string) => string][] = [
  ["percent-encoding", encodeURIComponent],
  [
    "percent-encoding of every character",
    (text) => [...Buffer.from(text)].map((b) => `%${b.toString(16).padStart(2, "0")}`).join(""),
  ],
  ["base64", base64],
  ["base64 for URLs", (text) => Buffer.from(text).toString("base64url")],
  ["base64 in lines", (text) => base64(`${"a line of it ".repeat(9)}${text}`).replace(/.{64}/g, "$&\r\n")],
  ["base64 after other letters", (text) => `ab${base64(text)}`],
  ["base64 of UTF-16", (text) => Buffer.from(text, "utf16le").toString("base64")],
  [
    "base64 among other bytes",
    (text) =>
      Buffer.concat([Buffer.from([1, 200, 3, 255]), Buffer.from(text), Buffer.from([0, 254])]).toString("base64"),
  ],
  ["hexadecimal", (text) => Buffer.from(text).toString("hex")],
  [
    "escapes as in JSON",
    (text) => [...text].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
  ],
  ["gzip", (text) => gzipSync(text).toString("base64")],
];

describe("an encoded leak is found", () => {
  const leaks: [string, string][] = [
    [AWS, "key"],
    [CARD, "card"],
    [IBAN, "iban"],
    ["ann.smith@mail.example.com", "email"],
  ];
  test.each(encodings)("%s, alone and inside each of the others", async (_, encode) => {
    for (const [text, kind] of leaks) {
      expect(await kinds(`a ${encode(text)} z`), text).toContain(kind);
      for (const [name, outer] of encodings) {
        if (name === "gzip" || !name.startsWith("base64 "))
          expect(await kinds(outer(encode(text))), name).toContain(kind);
      }
    }
  });

  test("what is encoded too deeply is unreadable", async () => {
    let text = AWS;
    for (let i = 0; i < 8; i++) text = base64(text);
    expect(await kinds(text)).toContain("unreadable");
  });

  test("attack: data that unpacks without end is unreadable, and is not unpacked to its end", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 2 ** 20, 0x61), { level: 9 }).toString("base64");
    expect(bomb.length).toBeLessThan(100_000);
    expect(await kinds(bomb)).toContain("unreadable");
  });

  test("attack: truncated gzip is searched as far as it unpacks", async () => {
    const whole = gzipSync(`${"plain words ".repeat(20)}${AWS} ${"more words ".repeat(2000)}`);
    expect(await kinds(whole.subarray(0, -9).toString("base64"))).toContain("key");
  });

  test("attack: more text than the search reads is unreadable", async () => {
    expect(await kinds("word ".repeat(2 ** 20))).toContain("unreadable");
  });
});

test("attack: a comment that tells a scanner to look away", async () => {
  expect(await kinds(`/* secretlint-disable */ ${AWS} // secretlint-disable-line`)).toContain("key");
});

test("a text from which every leak was cut has no leaks", async () => {
  const words = fc.constantFrom("a word", "and", "12", "/", "?x=", " ", "\n", "ü");
  const leak = fc.constantFrom(
    AWS,
    GITHUB,
    CARD,
    IBAN,
    "ann@mail.example.com",
    base64(`key ${AWS}`),
    encodeURIComponent(`${CARD} ;`),
  );
  const text = fc.array(fc.oneof(words, leak), { maxLength: 8 }).map((parts) => parts.join(" ; "));
  await fc.assert(
    fc.asyncProperty(text, async (whole) => {
      let left = whole;
      for (const { start, end } of (await findLeaks(whole)).sort((a, b) => b.start - a.start)) {
        expect(start).toBeGreaterThanOrEqual(0);
        expect(end).toBeLessThanOrEqual(whole.length);
        left = left.slice(0, start) + " ".repeat(Math.max(0, Math.min(end, left.length) - start)) + left.slice(end);
      }
      expect(await kinds(left)).toEqual([]);
    }),
    { numRuns: 100 },
  );
});

test("the search of any text ends, and reports positions within it", async () => {
  const piece = fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.base64String(),
    fc.constantFrom(
      "%",
      "%4",
      "\\u12",
      "H4sI",
      "eyJ",
      "-----BEGIN PRIVATE KEY-----",
      "@a.",
      "4111",
      "GB82",
      "=",
      "://a:b@",
    ),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { maxLength: 20 }).map((parts) => parts.join("")),
      async (text) => {
        for (const { start, end } of await findLeaks(text))
          expect(0 <= start && start < end && end <= text.length).toBe(true);
      },
    ),
    { numRuns: 300 },
  );
});
