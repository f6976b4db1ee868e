/** Signed notes (C2SP signed-note). */
import { getPublicKeyAsync, signAsync } from "@noble/ed25519";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromBase64, toBase64 } from "../../../src/base/base64.ts";
import { VakError } from "../../../src/errors.ts";
import { formatCheckpoint, parseCheckpoint } from "../../../src/tlog/checkpoint.ts";
import {
  ed25519Verifier,
  formatNote,
  formatVkey,
  type Note,
  type Verifier,
  verifierOf,
  verifyEd25519,
} from "../../../src/tlog/note.ts";
import { parseNote, parseVkey, verifyNote } from "../../../src/tlog/note-reading.ts";
import { base64, haveVectors, hex, vectorBytes, vectorJson } from "./vectors.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** Expects hostile bytes to be refused with a VakError, never with another error. */
function refusedOr<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    expect(error).toBeInstanceOf(VakError);
    return undefined;
  }
}

async function example(): Promise<{ verifier: Verifier; note: Note }> {
  const secret = new Uint8Array(32).fill(9);
  const verifier = ed25519Verifier("example.com/log", await getPublicKeyAsync(secret));
  const text = "first\n\nthird\n";
  const signature = await signAsync(bytesOf(text), secret);
  return { verifier, note: { text, signatures: [{ name: verifier.name, keyId: verifier.keyId, signature }] } };
}

describe("signed notes", () => {
  test("the example of C2SP signed-note", async () => {
    const verifier = parseVkey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
    const note = parseNote(
      bytesOf(
        "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n",
      ),
    );
    expect(note.text).toBe("This is an example message.\n");
    expect(await verifyNote(note, [verifier])).toEqual([verifier]);
  });

  test("are read as they were written", async () => {
    const { verifier, note } = await example();
    expect(parseNote(formatNote(note))).toEqual(note);
    expect(parseVkey(formatVkey(verifier))).toEqual(verifier);
  });

  test("with signatures by unknown keys are verified by the known one", async () => {
    const { verifier, note } = await example();
    const [mine] = note.signatures;
    const unknown = { name: "witness", keyId: Uint8Array.of(1, 2, 3, 4), signature: new Uint8Array(72) };
    const sameName = { ...unknown, name: verifier.name };
    const both = { ...note, signatures: [unknown, mine!, sameName] };
    expect(await verifyNote(parseNote(formatNote(both)), [verifier])).toEqual([verifier]);
    await expect(verifyNote({ ...note, signatures: [unknown] }, [verifier])).rejects.toThrow("known key");
    expect(await verifyNote({ ...note, signatures: [mine!, mine!] }, [verifier])).toEqual([verifier]);
  });

  test("are refused with any bit flipped", async () => {
    const { verifier, note } = await example();
    const bytes = formatNote(note);
    for (let i = 0; i < bytes.length * 8; i++) {
      const flipped = bytes.slice();
      flipped[i >> 3]! ^= 1 << (i & 7);
      const ok = await (async () => verifyNote(parseNote(flipped), [verifier]))().catch((error: unknown) => {
        expect(error).toBeInstanceOf(VakError);
        return undefined;
      });
      expect(ok, `bit ${i}`).toBeUndefined();
    }
  });

  test.each([
    ["no signatures", "text\n"],
    ["no blank line", "text\n— name AAAAAAA=\n"],
    ["no newline at the end", "text\n\n— name AAAAAAAAAAA="],
    ["a carriage return", "text\r\n\n— name AAAAAAAAAAA=\n"],
    ["another dash", "text\n\n- name AAAAAAAAAAA=\n"],
    ["a space too much", "text\n\n— name  AAAAAAAAAAA=\n"],
    ["a no-break space in the name", "text\n\n— na\u00a0me AAAAAAAAAAA=\n"],
    ["a plus in the name", "text\n\n— na+me AAAAAAAAAAA=\n"],
    ["bad base64", "text\n\n— name !!!!\n"],
    ["base64 with stray bits", "text\n\n— name AAAAAAAAAAB=\n"],
    ["base64 without padding", "text\n\n— name AAAAAAAAAAA\n"],
    ["no signature after the key id", "text\n\n— name AAAAAA==\n"],
    ["101 signatures", `text\n\n${"— name AAAAAAAAAAA=\n".repeat(101)}`],
    ["too long", `${"x".repeat(1_000_000)}\n\n— name AAAAAAAAAAA=\n`],
  ])("refused: %s", (_, text) => {
    expect(() => parseNote(bytesOf(text))).toThrow(VakError);
  });

  test("bytes that are not UTF-8 are refused", () => {
    expect(() => parseNote(Uint8Array.of(0xff, 10, 10, 10))).toThrow("UTF-8");
  });

  test("random input is accepted or refused with a VakError", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("a", "\n", "\n\n", "— ", " ", "AAAAAAAAAAA=", "é", "\0")), (parts) => {
        const bytes = bytesOf(parts.join(""));
        const note = refusedOr(() => parseNote(bytes));
        if (note) expect(formatNote(note)).toEqual(bytes);
      }),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void refusedOr(() => parseNote(bytes))));
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void refusedOr(() => parseVkey(text))));
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("A", "b", "+", "/", "=", "-", " ", "é") }), (text) => {
        const bytes = refusedOr(() => fromBase64(text));
        if (bytes) expect(toBase64(bytes)).toBe(text);
      }),
    );
  });
});

describe("verifier keys", () => {
  test("of other algorithms are unsupported, not malformed", async () => {
    const { verifier } = await example();
    const vkey = formatVkey(verifier);
    for (const bad of ["", "a", vkey.replace("+", " "), vkey.toUpperCase(), `${vkey}=`, `x${vkey}`, ` ${vkey}`]) {
      expect(() => parseVkey(bad)).toThrow(VakError);
    }
    expect(() => ed25519Verifier("a b", verifier.publicKey)).toThrow(VakError);
    expect(() => ed25519Verifier("", verifier.publicKey)).toThrow(VakError);
  });
});

describe("checkpoints", () => {
  test("are read as they were written", () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-z./]+$/),
        fc.maxSafeNat(),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        (origin, size, hash) => {
          const head = { origin, size, root: new Uint8Array(hash) };
          expect(parseCheckpoint(formatCheckpoint(head))).toEqual(head);
        },
      ),
    );
  });

  const root = toBase64(new Uint8Array(32));
  test("may have extension lines", () => {
    expect(parseCheckpoint(`o\n1\n${root}\nextension\n`)).toMatchObject({ origin: "o", size: 1 });
  });

  test.each([
    "",
    "o\n1\n",
    `\n1\n${root}\n`,
    `o\n1\n${root}`,
    `o\n1\n${root}\n\n`,
    `o\n01\n${root}\n`,
    `o\n-1\n${root}\n`,
    `o\n+1\n${root}\n`,
    `o\n1e3\n${root}\n`,
    `o\n9007199254740992\n${root}\n`,
    `o\n\n${root}\n`,
    "o\n1\nAAAA\n",
    "o\n1\n!\n",
  ])("refused: %j", (text) => {
    expect(() => parseCheckpoint(text)).toThrow(VakError);
  });
});

describe.skipIf(!haveVectors)("vectors", () => {
  interface Go {
    notes: { Name: string; MsgB64: string; Result: string; Text: string }[];
    vkeys: { Key: string; Result: string }[];
    verifyKey: string;
    signedCheckpoint: string;
    roots: string[];
  }
  const go = haveVectors ? vectorJson<Go>("tlog/go-vectors.json") : { notes: [], vkeys: [] };

  test.each(go.notes.map((vector) => [vector.Name, vector] as const))(
    "a note as Go reads it: %s",
    async (_, vector) => {
      const known = [parseVkey((go as Go).verifyKey)];
      const result = await (async () => {
        const note = parseNote(base64(vector.MsgB64));
        await verifyNote(note, known);
        return note.text;
      })().catch((error: unknown) => {
        expect(error).toBeInstanceOf(VakError);
        return undefined;
      });
      expect(result !== undefined).toBe(vector.Result === "ok");
      if (vector.Result === "ok") expect(result).toBe(vector.Text);
    },
  );

  test.each(go.vkeys.map(({ Key, Result }) => [Key, Result] as const))("a key as Go reads it: %j %s", (key, result) => {
    const verifier = refusedOr(() => parseVkey(key));
    expect(verifier !== undefined).toBe(result === "ok");
  });

  test("a checkpoint that Go signed", async () => {
    const { verifyKey, signedCheckpoint, roots } = go as Go;
    const note = parseNote(bytesOf(signedCheckpoint));
    await verifyNote(note, [parseVkey(verifyKey)]);
    const head = parseCheckpoint(note.text);
    expect(head).toEqual({ origin: "log.example/agent-sandbox", size: 300, root: base64(roots[300]!) });
  });

  test("Wycheproof's Ed25519 signatures", async () => {
    const { groups } = vectorJson<{
      groups: { pk: string; tests: { id: number; msg: string; sig: string; result: string }[] }[];
    }>("ed25519/ed25519-wycheproof.json");
    let count = 0;
    for (const { pk, tests } of groups) {
      for (const { id, msg, sig, result } of tests) {
        count++;
        expect(await verifyEd25519(hex(sig), hex(msg), hex(pk)), `test ${id}`).toBe(result === "valid");
      }
    }
    expect(count).toBe(151);
  });

  test("Tessera's checkpoints, written byte for byte", async () => {
    const name = "example.com/log/testdata";
    const secret = base64("AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg").slice(1);
    const verifier = ed25519Verifier(name, await getPublicKeyAsync(secret));
    for (let size = 0; size <= 15; size++) {
      const theirs = vectorBytes(`tessera/log/checkpoint.${size}`);
      const note = parseNote(theirs);
      expect(await verifyNote(note, [verifier])).toEqual([verifier]);
      const head = parseCheckpoint(note.text);
      expect(head).toMatchObject({ origin: name, size });
      const text = formatCheckpoint(head);
      const signature = await signAsync(bytesOf(text), secret);
      expect(formatNote({ text, signatures: [{ name, keyId: verifier.keyId, signature }] })).toEqual(theirs);
    }
  });
});

test("a verifier keeps a copy of its key, also of a Buffer, whose slices are views", () => {
  const key = Buffer.alloc(33, 1);
  const { publicKey } = verifierOf("example.com/log", key);
  key.fill(9);
  expect(publicKey).toEqual(new Uint8Array(32).fill(1));
});
