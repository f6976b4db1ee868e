/** Tiles (C2SP tlog-tiles). */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Bytes } from "../../../src/base/bytes.ts";
import { VakError } from "../../../src/errors.ts";
import { edgeOf } from "../../../src/log/writer.ts";
import { decodeEntries, encodeEntries } from "../../../src/tlog/entry-bundle.ts";
import { leafHash, RightEdge } from "../../../src/tlog/merkle.ts";
import { parseTilePath, splitHashes, type Tile, tilePath, tilesOf } from "../../../src/tlog/tiles.ts";
import { logOpen, MemoryLog } from "../audit/memory-log.ts";
import { haveVectors, vectorBytes, vectorJson } from "./vectors.ts";

const anyTile: fc.Arbitrary<Tile> = fc.record({
  level: fc.oneof(fc.constant("entries" as const), fc.integer({ min: 0, max: 6 })),
  index: fc.oneof(fc.nat(2000), fc.maxSafeNat()),
  width: fc.integer({ min: 1, max: 256 }),
});

describe("tile paths", () => {
  test.each([
    [{ level: 0, index: 0, width: 256 }, "tile/0/000"],
    [{ level: 0, index: 0, width: 1 }, "tile/0/000.p/1"],
    [{ level: 1, index: 0, width: 1 }, "tile/1/000.p/1"],
    [{ level: "entries", index: 999, width: 256 }, "tile/entries/999"],
    [{ level: "entries", index: 1000, width: 256 }, "tile/entries/x001/000"],
    [{ level: 0, index: 1_234_067, width: 255 }, "tile/0/x001/x234/067.p/255"],
  ] as const)("%j is %s", (tile, path) => {
    expect(tilePath(tile)).toBe(path);
    expect(parseTilePath(path)).toEqual(tile);
  });

  test("are read as they were written", () => {
    fc.assert(fc.property(anyTile, (tile) => void expect(parseTilePath(tilePath(tile))).toEqual(tile)));
  });

  test("in any other spelling are not tile paths", () => {
    const wrong = [
      "tile/0/0",
      "tile/0/x000/001",
      "tile/00/000",
      "tile/0/000.p/0",
      "tile/0/000.p/256",
      "tile/0/000.p/01",
      "tile/0/1/000",
      "tile/-1/000",
      "tile/data/000",
      "/tile/0/000",
      "tile/0/000/",
      "tile/0/x999/x999/x999/x999/x999/999",
    ];
    for (const path of wrong) expect(parseTilePath(path), path).toBeUndefined();
    const pieces = fc.array(fc.constantFrom("tile", "/", "0", "1", "entries", "x", "000", "x001", ".p", "255", "9"));
    fc.assert(
      fc.property(pieces, (parts) => {
        const tile = parseTilePath(`tile/${parts.join("")}`);
        if (tile) expect(tilePath(tile)).toBe(`tile/${parts.join("")}`);
      }),
      { numRuns: 2000 },
    );
  });

  test.skipIf(!haveVectors)("as Go writes them, without the height", () => {
    const { tilePaths } = vectorJson<{
      tilePaths: { Path: string; OK: boolean; H: number; L: number; W: number; N: number }[];
    }>("tlog/go-vectors.json");
    const ofOurHeight = tilePaths.filter(({ Path }) => Path.startsWith("tile/8/"));
    expect(ofOurHeight.length).toBeGreaterThan(4);
    for (const { Path, OK, L, W, N } of ofOurHeight) {
      const ours = Path.replace("tile/8/data", "tile/entries").replace("tile/8/", "tile/");
      expect(parseTilePath(ours)).toEqual(OK ? { level: L === -1 ? "entries" : L, index: N, width: W } : undefined);
    }
  });

  test("of a log of each size are those that C2SP tlog-tiles lists", () => {
    const paths = (size: number) => [...tilesOf(size)].map(tilePath);
    expect(paths(0)).toEqual([]);
    expect(paths(1)).toEqual(["tile/entries/000.p/1", "tile/0/000.p/1"]);
    expect(paths(256)).toEqual(["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
    expect(paths(257)).toEqual([
      "tile/entries/000",
      "tile/entries/001.p/1",
      "tile/0/000",
      "tile/0/001.p/1",
      "tile/1/000.p/1",
    ]);
    const large = paths(70_000);
    expect(large.filter((path) => !/^tile\/(0|entries)\//.test(path))).toEqual([
      "tile/1/000",
      "tile/1/001.p/17",
      "tile/2/000.p/1",
    ]);
    expect(large.length).toBe(2 * 274 + 3);
  });
});

describe("entry bundles", () => {
  test("are read as they were written", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 20 }), (entries) => {
        expect(decodeEntries(encodeEntries(entries), entries.length).map((e) => [...e])).toEqual(
          entries.map((e) => [...e]),
        );
      }),
    );
    const longest = new Uint8Array(65_535).fill(1);
    expect(decodeEntries(encodeEntries([longest]), 1)[0]).toEqual(longest);
    expect(() => encodeEntries([new Uint8Array(65_536)])).toThrow(VakError);
  });

  test("with missing or extra bytes are refused", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.nat(5), (bytes, count) => {
        let entries: Uint8Array[];
        try {
          entries = decodeEntries(bytes, count);
        } catch (error) {
          expect(error).toBeInstanceOf(VakError);
          return;
        }
        expect(encodeEntries(entries)).toEqual(new Uint8Array(bytes));
      }),
      { numRuns: 1000 },
    );
    const bundle = encodeEntries([Uint8Array.of(1, 2), Uint8Array.of(3)]);
    expect(() => decodeEntries(bundle, 1)).toThrow("bytes after its last entry");
    expect(() => decodeEntries(bundle, 3)).toThrow("ends after 2");
    expect(() => decodeEntries(bundle.slice(0, -1), 2)).toThrow("ends within");
  });
});

describe("the writer", () => {
  const note = { type: "policy-refused", textDigest: "00".repeat(32), message: "no" } as const;

  test("writes each level-0 tile when it is full, and higher tiles as they grow", async () => {
    const log = new MemoryLog();
    log.append(...(await logOpen()));
    const edge = new RightEdge();
    let sizes = 0;
    for (const step of [255, 1, 1, 254, 1, 300, 1000]) {
      for (let i = 0; i < step; i++) log.append(note);
      log.commit();
      for (const bytes of log.stored.slice(edge.size)) edge.append(leafHash(bytes));
      expect(log.writer.root()).toEqual(edge.root());
      expect(log.batches.at(-1)!.after).toMatchObject({ size: edge.size, root: edge.root() });
      for (const tile of tilesOf(log.stored.length)) {
        if (tile.level === "entries" || (tile.level === 0 && tile.width < 256)) continue;
        sizes++;
        const below = 256 ** tile.level;
        const hashes = Array.from({ length: tile.width }, (_, i) => {
          const from = (tile.index * 256 + i) * below;
          const subtree = new RightEdge();
          for (const bytes of log.stored.slice(from, from + below)) subtree.append(leafHash(bytes));
          return subtree.root();
        });
        expect(splitHashes((await log.tile(tile.level, tile.index))!).slice(0, tile.width)).toEqual(hashes);
      }
    }
    expect(sizes).toBeGreaterThan(10);
  });

  test("computes the right edge from the last tiles, at any size", () => {
    const hash = (n: number): Bytes => leafHash(new TextEncoder().encode(String(n)));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 70_000 }), (size) => {
        const tree = new RightEdge();
        const edge: Bytes[][] = [[], [], []];
        for (let i = 0; i < size; i++) {
          tree.append(hash(i % 7), (level, node) => {
            if (level % 8 !== 0) return;
            const tile = edge[level / 8]!;
            if (tile.push(node) === 256) tile.length = 0;
          });
        }
        expect(edgeOf(size, edge).root()).toEqual(tree.root());
      }),
      { numRuns: 8 },
    );
  });
});

describe.skipIf(!haveVectors)("Tessera's log", () => {
  const entries = "one two three four five six seven eit nain ten ileven twelf threeten fourten fivten".split(" ");

  test("is written byte for byte", () => {
    const bytes = entries.map((entry) => new TextEncoder().encode(entry));
    for (let size = 1; size <= entries.length; size++) {
      const hashes = bytes.slice(0, size).flatMap((entry) => [...leafHash(entry)]);
      for (const tile of tilesOf(size)) {
        const ours = tile.level === "entries" ? encodeEntries(bytes.slice(0, size)) : new Uint8Array(hashes);
        expect(ours).toEqual(vectorBytes(`tessera/log/${tilePath(tile)}`));
      }
      const edge = new RightEdge();
      for (const entry of bytes.slice(0, size)) edge.append(leafHash(entry));
      const checkpoint = new TextDecoder().decode(vectorBytes(`tessera/log/checkpoint.${size}`));
      expect(checkpoint.split("\n")[2]).toBe(Buffer.from(edge.root()).toString("base64"));
    }
  });
});

test("the hashes of a tile are copies, also of a Buffer, whose slices are views", () => {
  const bytes = Buffer.alloc(64, 5);
  const hashes = splitHashes(bytes);
  bytes.fill(6);
  expect(hashes).toEqual([new Uint8Array(32).fill(5), new Uint8Array(32).fill(5)]);
});
