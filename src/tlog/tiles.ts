/** Tiles (C2SP tlog-tiles): how the hashes and entries of a log are divided into files, and the paths of these. */
import type { Bytes } from "../base/bytes.ts";
import { HASH_BYTES } from "./merkle.ts";
import { TILE_WIDTH } from "./sizes.ts";

/** A file of the log: a hash tile of a level, or an entry bundle. */
export interface Tile {
  level: number | "entries";
  index: number;
  /** Hashes or entries in it, 1 to 256; fewer than 256 only at the right edge. */
  width: number;
}

/** How many hashes a level of tiles has, in a tree of `size` leaves: one for each full tile of the level below. */
export function hashesAt(level: number, size: number): number {
  return Math.floor(size / TILE_WIDTH ** level);
}

/** Every file of the log of `size` entries: the entry bundles, then the hash tiles, level by level. */
export function* tilesOf(size: number): Generator<Tile> {
  if (size > 0) yield* row("entries", size);
  for (let level = 0; hashesAt(level, size) > 0; level++) yield* row(level, hashesAt(level, size));
}

function* row(level: Tile["level"], count: number): Generator<Tile> {
  for (let index = 0; index * TILE_WIDTH < count; index++) {
    yield { level, index, width: Math.min(TILE_WIDTH, count - index * TILE_WIDTH) };
  }
}

/** `tile/<level>/<index>[.p/<width>]`, the index in groups of three digits, all but the last prefixed with x. */
export function tilePath({ level, index, width }: Tile): string {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.../g)!;
  const last = groups.pop();
  return `tile/${level}/${groups.map((group) => `x${group}/`).join("")}${last}${width < TILE_WIDTH ? `.p/${width}` : ""}`;
}

/** The tile that a path names, if it is a path exactly as {@link tilePath} writes it. */
export function parseTilePath(path: string): Tile | undefined {
  const match = /^tile\/(entries|\d{1,2})\/((?:x\d{3}\/){0,5}\d{3})(?:\.p\/(\d{1,3}))?$/.exec(path);
  if (!match) return undefined;
  const tile: Tile = {
    level: match[1] === "entries" ? "entries" : Number(match[1]),
    index: Number(match[2]!.replace(/[x/]/g, "")),
    width: match[3] === undefined ? TILE_WIDTH : Number(match[3]),
  };
  const inRange = Number.isSafeInteger(tile.index) && tile.width >= 1 && tile.width <= TILE_WIDTH;
  return inRange && tilePath(tile) === path ? tile : undefined;
}

/** The hashes of a tile's bytes, copied: of Node's Buffer, slice would be a view that changes with it. */
export function splitHashes(bytes: Uint8Array): Bytes[] {
  const hashes: Bytes[] = [];
  for (let at = 0; at < bytes.length; at += HASH_BYTES)
    hashes.push(Uint8Array.from(bytes.subarray(at, at + HASH_BYTES)));
  return hashes;
}
