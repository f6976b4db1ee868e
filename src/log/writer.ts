/**
 * Turns drafts into the entries, tiles and values that the next commit writes, and keeps the edge of the Merkle tree.
 */

import type { LoadedText } from "../audit/bundle-files.ts";
import { type Draft, type Entry, encodeEntry, type OwnDraft } from "../audit/entry.ts";
import { Order } from "../audit/order.ts";
import { type Commitment, commitValue, type ValueKind } from "../audit/value.ts";
import type { Digest } from "../audit/vocabulary/common.ts";
import { type Bytes, joinBytes } from "../base/bytes.ts";
import { sha256Hex } from "../base/sha256.ts";
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { leafHash, RightEdge } from "../tlog/merkle.ts";
import { TILE_HEIGHT, TILE_WIDTH } from "../tlog/sizes.ts";

/** The size and root of what is committed, and what the order of entries depends on. */
export interface Head {
  size: number;
  root: Bytes;
  /** The policy in force. */
  policy: Digest | null;
  /** The `seq` of each entry that opened an agent, a run or an intent which is still open. */
  open: number[];
}

/** A hash tile, full or partial; of level 0 only full ones, since the last entries give the other hashes. */
export interface StoredTile {
  level: number;
  index: number;
  hashes: Bytes;
}

/** What one commit writes: all of it, or nothing. */
export interface Batch {
  /** What the stored head must still be. */
  before: Head;
  after: Head;
  entries: { seq: number; bytes: Bytes }[];
  tiles: StoredTile[];
  values: { seq: number; file: Bytes }[];
  policies: LoadedText[];
  /** The `seq` of each entry whose value is deleted. */
  erased: number[];
}

/** What is kept beside an entry. */
export interface Attached {
  /** The input of an intent, a denial or a run-start: JSON. */
  input?: unknown;
  /** The output of an outcome: JSON. */
  output?: unknown;
  /** A commitment made beforehand, instead of either or for a trace. */
  commitment?: Commitment;
  /** The text of the policy that a policy-load names, and of its base. */
  policy?: string;
  base?: string;
}

/** The hashes in the last, partial tile of each level: they determine the right edge of the tree. */
export type Edge = Bytes[][];

export function emptyHead(): Head {
  return { size: 0, root: new RightEdge().root(), policy: null, open: [] };
}

/** The right edge of the tree of `size` leaves, from the hashes of the last tile of each level, cut to that size. */
export function edgeOf(size: number, edge: Edge): RightEdge {
  const perfect: Bytes[] = [];
  for (let level = edge.length - 1; level >= 0; level--) {
    const hashes = edge[level]!;
    // Each 1 bit of the partial tile's width is a perfect subtree, the largest leftmost.
    for (let bit = TILE_WIDTH / 2, from = 0; bit >= 1; bit /= 2) {
      if ((hashes.length & bit) === 0) continue;
      const subtree = new RightEdge();
      for (const hash of hashes.slice(from, from + bit)) subtree.append(hash);
      perfect.push(subtree.root());
      from += bit;
    }
  }
  return new RightEdge(size, perfect);
}

export class Writer {
  readonly #tree: RightEdge;
  readonly #edge: Edge;
  readonly #order: Order;
  #before: Head;
  #batch: Omit<Batch, "before" | "after">;
  readonly #changed = new Set<number>();
  /** The digests of the bases that are already stored. */
  readonly #bases: Set<Digest>;

  constructor(head: Head = emptyHead(), edge: Edge = [], order: Order = new Order(), bases: Iterable<Digest> = []) {
    this.#bases = new Set(bases);
    this.#before = head;
    this.#tree = edgeOf(head.size, edge);
    this.#edge = edge;
    this.#order = order;
    this.#batch = emptyBatch();
  }

  /** The root of the tree of everything appended so far. */
  root(): Bytes {
    return this.#tree.root();
  }

  /**
   * Appends one entry and returns its `seq`.
   *
   * @throws VakError `invalid-argument` if the entry is malformed, too long or out of order, or its type needs
   *   something else attached; nothing has changed then
   */
  append(draft: Draft | OwnDraft, attached: Attached = {}, time = Date.now()): number {
    const seq = this.#tree.size;
    const { filled, value } = this.#attach(draft, attached);
    const entry = { ...draft, ...filled, v: 1, seq, time } as Entry;
    const bytes = encodeEntry(entry);
    const known = entry.type === "policy-load" && this.#order.knowsPolicy(entry.policyDigest);
    this.#order.accept(entry);
    this.#batch.entries.push({ seq, bytes });
    if (value) this.#batch.values.push({ seq, file: value });
    if (entry.type === "erase") this.#batch.erased.push(entry.erases);
    if (entry.type === "policy-load" && !known) {
      this.#batch.policies.push({ digest: entry.policyDigest, text: attached.policy!, seq });
    }
    if (entry.type === "policy-load" && entry.baseDigest !== undefined && !this.#bases.has(entry.baseDigest)) {
      this.#bases.add(entry.baseDigest);
      this.#batch.policies.push({ digest: entry.baseDigest, text: attached.base!, seq, base: true });
    }
    this.#tree.append(leafHash(bytes), (level, hash) => {
      if (level % TILE_HEIGHT === 0) this.#addHash(level / TILE_HEIGHT, hash, seq);
    });
    return seq;
  }

  /** What was appended since the last call, or undefined if nothing was. */
  take(): Batch | undefined {
    if (this.#batch.entries.length === 0) return undefined;
    for (const level of this.#changed) this.#writeTile(level, this.#tree.size - 1);
    this.#changed.clear();
    const before = this.#before;
    const after = { size: this.#tree.size, root: this.root(), policy: this.#order.policy, open: this.#order.open() };
    const batch = { before, after, ...this.#batch };
    this.#before = after;
    this.#batch = emptyBatch();
    return batch;
  }

  #addHash(level: number, hash: Bytes, seq: number): void {
    this.#edge[level] ??= [];
    this.#edge[level].push(hash);
    if (this.#edge[level].length === TILE_WIDTH) {
      this.#writeTile(level, seq);
      this.#changed.delete(level);
      this.#edge[level] = [];
    } else if (level > 0) {
      this.#changed.add(level);
    }
  }

  /** Writes the last tile of a level; `seq` is the last leaf's. */
  #writeTile(level: number, seq: number): void {
    const index = Math.floor(seq / TILE_WIDTH ** (level + 1));
    this.#batch.tiles.push({ level, index, hashes: joinBytes(this.#edge[level]!) });
  }

  #attach(draft: Draft | OwnDraft, { input, output, commitment, policy, base }: Attached) {
    const wants = VALUE_OF[draft.type] ?? "";
    const given = [input !== undefined && "input", output !== undefined && "output", commitment?.kind].filter(Boolean);
    if (given.length > 1 || (given[0] ?? wants) !== wants) {
      throw new VakError(
        "invalid-argument",
        `A ${draft.type} entry cannot have this ${given.at(-1)}: attach what its type commits to, and nothing else.`,
      );
    }
    if ((policy !== undefined) !== (draft.type === "policy-load")) {
      throw new VakError(
        "invalid-argument",
        "A policy-load entry, and no other, needs the policy's text: attach it as policy.",
      );
    }
    if (policy !== undefined) {
      const filled = { policyDigest: digestOf(policy), previous: this.#order.policy };
      return { filled: base === undefined ? filled : { ...filled, baseDigest: digestOf(base) } };
    }
    if (wants === "") return { filled: {} };
    const value = wants === "input" ? input : output;
    if (value === undefined && !commitment) return { filled: { [`${wants}Digest`]: null } };
    const { digest, file } = commitment ?? commitValue(wants, value);
    return { filled: { [`${wants}Digest`]: digest }, value: file };
  }
}

const digestOf = (text: string): Digest => sha256Hex(toUtf8(text));

/** The kind of value that each type of entry commits to. */
const VALUE_OF: { readonly [type: string]: ValueKind } = {
  "run-start": "input",
  intent: "input",
  denial: "input",
  outcome: "output",
  trace: "trace",
  "run-end": "trace",
};

function emptyBatch(): Omit<Batch, "before" | "after"> {
  return { entries: [], tiles: [], values: [], policies: [], erased: [] };
}
