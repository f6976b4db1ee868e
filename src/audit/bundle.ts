/**
 * A bundle: a log as files, with what is needed to verify it offline.
 *
 *     checkpoint                          the signed tree head
 *     tile/entries/…, tile/<level>/…      the entries and hashes, as C2SP tlog-tiles lays them out
 *     keys.txt                            the verifier keys (vkey), one a line, the one that signs last
 *     rotations/<seq>                     for each change of key, the checkpoint that both keys signed
 *     policies/<digest>.cedar             each policy that was loaded, if it is only a text
 *     policies/<digest>.json              the others, with their entities and tests; and what policies are based on
 *     values/<seq>.json                   the private values that were not erased (see `value.ts`)
 *     programs/<digest>.wasm              programs that the exporter chose to include, so that runs can be replayed
 */
import { parseTilePath } from "../tlog/tiles.ts";
import type { Digest } from "./vocabulary/common.ts";

export const CHECKPOINT_PATH = "checkpoint";
export const KEYS_PATH = "keys.txt";
/** What is not a Cedar text is an object in canonical JSON. */
export const policyPath = (digest: Digest, json: boolean): string => `policies/${digest}.${json ? "json" : "cedar"}`;
export const rotationPath = (seq: number): string => `rotations/${seq}`;
export const valuePath = (seq: number): string => `values/${seq}.json`;
/** The `seq` of a path that {@link valuePath} made; undefined for any other path. */
export function valueSeq(path: string): number | undefined {
  const seq = Number(path.slice("values/".length, -".json".length));
  return valuePath(seq) === path ? seq : undefined;
}

export const programPath = (digest: Digest): string => `programs/${digest}.wasm`;
/** The largest program that the meter accepts. */
export const MAX_PROGRAM_BYTES = 256 * 2 ** 20;

/** Whether a file of a bundle may have this path: relative, of plain characters, with no step up. */
export function isBundlePath(path: string): boolean {
  return path.length <= 200 && /^[\w-][\w.-]*(\/[\w-][\w.-]*)*$/.test(path);
}

/** A set of files to verify: a zip, a directory, a `Map`. */
export interface Bundle {
  paths(): Promise<Iterable<string>>;
  /**
   * The file's bytes, or undefined when there is none.
   *
   * @throws VakError `invalid-bundle` when it has more than `maxBytes`, or cannot be unpacked
   */
  read(path: string, maxBytes: number): Promise<Uint8Array | undefined>;
}

/**
 * An export and its increments (`export({ since })`) as one bundle.
 *
 * @param bundles the oldest first
 * @example const whole = await joinBundles([await openBundle(first), await openBundle(second)]);
 */
export async function joinBundles(bundles: readonly Bundle[]): Promise<Bundle> {
  const holders = new Map<string, Bundle>();
  /** By level and index, the path of a tile: a wider one takes the place of a narrower one. */
  const tiles = new Map<string, string>();
  for (const bundle of bundles) {
    for (const path of await bundle.paths()) {
      holders.set(path, bundle);
      const tile = parseTilePath(path);
      if (!tile) continue;
      const key = `${tile.level}/${tile.index}`;
      const before = tiles.get(key);
      if (before !== undefined && before !== path) holders.delete(before);
      tiles.set(key, path);
    }
  }
  return {
    paths: async () => holders.keys(),
    read: async (path, maxBytes) => holders.get(path)?.read(path, maxBytes),
  };
}
