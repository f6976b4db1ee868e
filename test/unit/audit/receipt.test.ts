/** Receipts: proofs that an entry is in a log (C2SP tlog-proof). */
import fc from "fast-check";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { leafHash } from "../../../src/audit/index.ts";
import { verifyProof } from "../../../src/audit/receipt.ts";
import { VakError } from "../../../src/errors.ts";
import { RightEdge } from "../../../src/tlog/merkle.ts";
import { consistencyProof, inclusionProof, verifyConsistency } from "../../../src/tlog/merkle-proof.ts";
import { makeProof, tileHashes } from "../../../src/tlog/proof.ts";
import { verifiedOnce } from "../../setup/verified-once.ts";
import { logOpen, MemoryLog, signed } from "./memory-log.ts";

vi.mock("@noble/ed25519", async (original) => verifiedOnce(await original()));

const SIZE = 600;
const log = new MemoryLog();
let vkey: string;

beforeAll(async () => {
  log.append(...(await logOpen()));
  for (let i = 1; i < SIZE; i++) log.append({ type: "policy-refused", textDigest: "00".repeat(32), message: `${i}` });
  log.commit();
  vkey = (await signed(0, new Uint8Array(32))).vkey;
});

const roots = new Map<number, Uint8Array<ArrayBuffer>>();

function rootOf(size: number): Uint8Array<ArrayBuffer> {
  const known = roots.get(size);
  if (known) return known;
  const tree = new RightEdge();
  for (const entry of log.stored.slice(0, size)) tree.append(leafHash(entry));
  const root = tree.root();
  roots.set(size, root);
  return root;
}

const notes = new Map<number, string>();

async function receipt(seq: number, size: number): Promise<string> {
  const note = notes.get(size) ?? (await signed(size, rootOf(size))).note;
  notes.set(size, note);
  return makeProof(log, seq, note, size);
}

async function refusal(text: string, keys = [vkey]): Promise<string> {
  const error = await verifyProof(text, keys).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(VakError);
  expect((error as VakError).code).toBe("invalid-bundle");
  return (error as VakError).message;
}

describe("a receipt", () => {
  test("proves each entry, at sizes around the edges of tiles", async () => {
    for (const size of [1, 2, 3, 255, 256, 257, 511, 512, 513, 600]) {
      for (const seq of new Set([0, 1, 2, 255, 256, size >> 1, size - 2, size - 1].filter((i) => i >= 0 && i < size))) {
        const proven = await verifyProof(await receipt(seq, size), [vkey]);
        expect(proven).toMatchObject({ seq, size, keys: [vkey], entry: { seq } });
      }
    }
  });

  test("has the format of C2SP tlog-proof", async () => {
    const lines = (await receipt(2, 3)).split("\n");
    expect(lines.slice(0, 1)).toEqual(["c2sp.org/tlog-proof@v1"]);
    expect(atob(lines[1]!.slice("extra ".length))).toContain('"seq":2');
    expect(lines[2]).toBe("index 2");
    expect(lines[3]).toMatch(/^[A-Za-z0-9+/]{43}=$/);
    expect(lines[4]).toBe("");
    expect(lines.slice(5)).toEqual((await signed(3, rootOf(3))).note.split("\n"));
  });

  test("with any byte changed is refused", async () => {
    const good = await receipt(300, SIZE);
    const bytes = new TextEncoder().encode(good);
    for (let at = 0; at < bytes.length; at++) {
      for (const bit of [1, 2, 32]) {
        const changed = bytes.map((byte, i) => (i === at ? byte ^ bit : byte));
        await refusal(new TextDecoder().decode(changed));
      }
    }
  });

  test("is refused under another key, at another place, of another log, or cut short", async () => {
    const good = await receipt(5, 300);
    const other = await signed(0, new Uint8Array(32), new Uint8Array(32).fill(8));
    expect(await refusal(good, [other.vkey])).toContain("No signature is by a known key");
    expect(await refusal(good, [])).toContain("No signature is by a known key");
    expect(await refusal(good.replace("index 5", "index 6"))).toContain("not number 6");
    expect(await refusal(good.replace("index 5", "index 05"))).toContain("not a decimal");
    expect(await refusal(good.replace("index 5", "index 9007199254740993"))).toContain("not a decimal");
    expect(await refusal(good.replace(/extra .*\n/, ""))).toContain("does not hold the entry");
    expect(await refusal(good.replace("@v1", "@v2"))).toContain("does not begin");
    for (let cut = 0; cut < good.length; cut++) await refusal(good.slice(0, cut));
    const hash = `${btoa("x".repeat(32))}\n`;
    expect(await refusal(good.replace("index 5\n", `index 5\n${hash.repeat(60)}`))).toContain("more than 63");
    expect(await refusal("x".repeat(2_000_000))).toContain("longer than");
    expect(await refusal("\ud800")).toContain("well-formed");
  });

  test("any other text is refused with a VakError", async () => {
    const good = await receipt(5, 300);
    const parts = fc.constantFrom(...good.split("\n"), "index 0", "extra ", "index -1", "", "— a b");
    const texts = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(parts, { maxLength: 20 }).map((l) => l.join("\n")),
    );
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        if (text !== good) await refusal(text);
      }),
      { numRuns: 500 },
    );
  });
});

test("proofs are made from tiles, and each tile is read once", async () => {
  let reads = 0;
  const counted = {
    entries: (from: number, end: number) => {
      reads++;
      return log.entries(from, end);
    },
    tile: (level: number, index: number) => {
      reads++;
      return log.tile(level, index);
    },
  };
  for (const [oldSize, newSize] of [
    [1, 600],
    [255, 256],
    [256, 257],
    [257, 600],
    [512, 513],
    [599, 600],
  ] as const) {
    const proof = await consistencyProof(oldSize, newSize, tileHashes(counted));
    expect(verifyConsistency(oldSize, newSize, rootOf(oldSize), rootOf(newSize), proof)).toBe(true);
  }
  reads = 0;
  await inclusionProof(513, SIZE, tileHashes(counted));
  expect(reads).toBeLessThanOrEqual(4);
});
