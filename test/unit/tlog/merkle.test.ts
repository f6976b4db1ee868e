/** Merkle trees and proofs (RFC 6962, RFC 9162). */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Bytes } from "../../../src/base/bytes.ts";
import { emptyRoot, leafHash, nodeHash, RightEdge } from "../../../src/tlog/merkle.ts";
import {
  consistencyProof,
  inclusionProof,
  rootAt,
  verifyConsistency,
  verifyInclusion,
} from "../../../src/tlog/merkle-proof.ts";
import { base64, haveVectors, hex, vectorJson } from "./vectors.ts";

/** The root as RFC 6962 §2.1 defines it, for comparison. */
function mth(leaves: readonly Bytes[]): Bytes {
  if (leaves.length === 0) return emptyRoot();
  if (leaves.length === 1) return leaves[0]!;
  const k = 2 ** Math.floor(Math.log2(leaves.length - 1));
  return nodeHash(mth(leaves.slice(0, k)), mth(leaves.slice(k)));
}

const leavesOf = (size: number) =>
  Array.from({ length: size }, (_, i) => leafHash(new TextEncoder().encode(`leaf-${i}`)));
const readerOf = (leaves: readonly Bytes[]) => (level: number, index: number) =>
  mth(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level));

function edgeOf(leaves: readonly Bytes[]): RightEdge {
  const edge = new RightEdge();
  for (const leaf of leaves) edge.append(leaf);
  return edge;
}

describe.skipIf(!haveVectors)("vectors", () => {
  test("the eight leaves of RFC 6962's first implementation", () => {
    const vectors = vectorJson<{ leafInputs: string[]; emptyRoot: string; rootHashesForSize1to8: string[] }>(
      "tlog/rfc6962-roots.json",
    );
    expect(emptyRoot()).toEqual(hex(vectors.emptyRoot));
    const leaves = vectors.leafInputs.map((input) => leafHash(hex(input)));
    for (const [i, root] of vectors.rootHashesForSize1to8.entries()) {
      expect(edgeOf(leaves.slice(0, i + 1)).root()).toEqual(hex(root));
    }
  });

  interface Inclusion {
    name: string;
    leafIdx: number | string;
    treeSize: number | string;
    root: string;
    leafHash: string;
    proof: string[] | null;
    wantErr: boolean;
  }
  interface Consistency {
    name: string;
    size1: number | string;
    size2: number | string;
    root1: string;
    root2: string;
    proof: string[] | null;
    wantErr: boolean;
  }
  const merkle = haveVectors
    ? vectorJson<{ inclusion: Inclusion[]; consistency: Consistency[] }>("tlog/merkle-vectors.json")
    : { inclusion: [], consistency: [] };

  test.each(merkle.inclusion.map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    const ok = verifyInclusion(
      Number(vector.leafIdx),
      Number(vector.treeSize),
      base64(vector.leafHash),
      (vector.proof ?? []).map(base64),
      base64(vector.root),
    );
    expect(ok).toBe(!vector.wantErr);
  });

  test.each(merkle.consistency.map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    const ok = verifyConsistency(
      Number(vector.size1),
      Number(vector.size2),
      base64(vector.root1),
      base64(vector.root2),
      (vector.proof ?? []).map(base64),
    );
    expect(ok).toBe(!vector.wantErr);
  });

  test("roots and proofs computed by Go", async () => {
    const go = vectorJson<{
      roots: string[];
      inclusion: { Size: number; Index: number; Proof: string[] }[];
      consistency: { Old: number; New: number; Proof: string[] }[];
    }>("tlog/go-vectors.json");
    const leaves = leavesOf(go.roots.length - 1);
    const read = readerOf(leaves);
    const roots = go.roots.map(base64);
    for (const [size, root] of roots.entries()) {
      expect(edgeOf(leaves.slice(0, size)).root()).toEqual(root);
      expect(await rootAt(size, read)).toEqual(root);
    }
    expect(go.inclusion.length).toBeGreaterThan(200);
    for (const { Size, Index, Proof } of go.inclusion) {
      expect(await inclusionProof(Index, Size, read)).toEqual(Proof.map(base64));
      expect(verifyInclusion(Index, Size, leaves[Index]!, Proof.map(base64), roots[Size]!)).toBe(true);
    }
    expect(go.consistency.length).toBeGreaterThan(200);
    for (const { Old, New, Proof } of go.consistency) {
      expect(await consistencyProof(Old, New, read)).toEqual(Proof.map(base64));
      expect(verifyConsistency(Old, New, roots[Old]!, roots[New]!, Proof.map(base64))).toBe(true);
    }
  });
});

const ALL = leavesOf(300);
const size = fc.integer({ min: 1, max: 300 });

describe("trees of up to 300 leaves", () => {
  test("have the root that RFC 6962 defines", () => {
    const edge = new RightEdge();
    for (const [i, leaf] of ALL.entries()) {
      expect(edge.root()).toEqual(mth(ALL.slice(0, i)));
      edge.append(leaf);
    }
  });

  test("report each subtree when it is completed", () => {
    const seen = new Map<number, Bytes[]>();
    const edge = new RightEdge();
    for (const leaf of ALL) {
      edge.append(leaf, (level, hash) => seen.set(level, [...(seen.get(level) ?? []), hash]));
    }
    const read = readerOf(ALL);
    for (const [level, hashes] of seen) {
      expect(hashes).toEqual(Array.from({ length: Math.floor(300 / 2 ** level) }, (_, i) => read(level, i)));
    }
    expect(seen.size).toBe(9);
  });

  test("can be continued from their perfect subtrees alone", () => {
    fc.assert(
      fc.property(size, fc.integer({ min: 0, max: 20 }), (n, more) => {
        const read = readerOf(ALL);
        const perfect: Bytes[] = [];
        for (let level = 8, from = 0; level >= 0; level--) {
          if (Math.floor(n / 2 ** level) % 2 === 0) continue;
          perfect.push(read(level, from / 2 ** level));
          from += 2 ** level;
        }
        const edge = new RightEdge(n, perfect);
        for (const leaf of ALL.slice(n, n + more)) edge.append(leaf);
        expect(edge.root()).toEqual(mth(ALL.slice(0, n + more)));
      }),
    );
  });

  test("have inclusion proofs, each for one leaf at one place in one tree", async () => {
    const at = fc.tuple(size, fc.nat(), fc.nat(), fc.nat());
    await fc.assert(
      fc.asyncProperty(at, async ([n, place, bit, other]) => {
        const index = place % n;
        const read = readerOf(ALL.slice(0, n));
        const [proof, root] = [await inclusionProof(index, n, read), mth(ALL.slice(0, n))];
        expect(verifyInclusion(index, n, ALL[index]!, proof, root)).toBe(true);
        expect(verifyInclusion(index, n, ALL[index]!, [...proof, root], root)).toBe(false);
        if (proof.length > 0) {
          expect(verifyInclusion(index, n, ALL[index]!, proof.slice(1), root)).toBe(false);
          expect(verifyInclusion(other % n, n, ALL[index]!, proof, root)).toBe(other % n === index);
          const bad = proof.map((hash) => hash.slice());
          bad[bit % bad.length]![bit % 32]! ^= 1 << (bit % 8);
          expect(verifyInclusion(index, n, ALL[index]!, bad, root)).toBe(false);
        }
      }),
    );
  });

  test("have consistency proofs, each for one pair of trees", async () => {
    await fc.assert(
      fc.asyncProperty(size, size, fc.nat(), async (a, b, bit) => {
        const [old, now] = a < b ? [a, b] : [b, a];
        const [oldRoot, root] = [mth(ALL.slice(0, old)), mth(ALL.slice(0, now))];
        const proof = await consistencyProof(old, now, readerOf(ALL.slice(0, now)));
        expect(verifyConsistency(old, now, oldRoot, root, proof)).toBe(true);
        expect(verifyConsistency(old, now, oldRoot, root, [...proof, root])).toBe(false);
        if (old === now) return;
        expect(verifyConsistency(old, now, root, root, proof)).toBe(false);
        expect(verifyConsistency(old, now, oldRoot, oldRoot, proof)).toBe(false);
        const bad = proof.map((hash) => hash.slice());
        bad[bit % bad.length]![bit % 32]! ^= 1 << (bit % 8);
        expect(verifyConsistency(old, now, oldRoot, root, bad)).toBe(false);
      }),
    );
  });

  test("refuse proofs for leaves and sizes that are out of range", async () => {
    const read = readerOf(ALL);
    for (const [index, n] of [
      [0, 0],
      [1, 1],
      [-1, 5],
      [0.5, 5],
      [5, 2 ** 54],
    ] as const) {
      await expect(inclusionProof(index, n, read)).rejects.toThrow(RangeError);
      expect(verifyInclusion(index, n, ALL[0]!, [], ALL[0]!)).toBe(false);
    }
    for (const [old, now] of [
      [0, 5],
      [6, 5],
      [-1, 5],
      [1.5, 5],
    ] as const) {
      await expect(consistencyProof(old, now, read)).rejects.toThrow(RangeError);
      expect(verifyConsistency(old, now, ALL[0]!, ALL[0]!, [ALL[0]!])).toBe(false);
    }
  });
});
