/** Resumes a stored log: checks it before anything is signed, and closes what an earlier session left open. */

import { type Entry, parseEntry } from "../audit/entry.ts";
import { Order } from "../audit/order.ts";
import { toBase64 } from "../base/base64.ts";
import { type Bytes, equalBytes } from "../base/bytes.ts";
import { retry } from "../base/retry.ts";
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { type Checkpoint, parseCheckpoint, type TreeHead } from "../tlog/checkpoint.ts";
import { leafHash } from "../tlog/merkle.ts";
import { ed25519Verifier, verifyEd25519 } from "../tlog/note.ts";
import { parseNote } from "../tlog/note-reading.ts";
import { TILE_WIDTH } from "../tlog/sizes.ts";
import { hashesAt, splitHashes } from "../tlog/tiles.ts";
import { newestOf } from "./anchoring.ts";
import { corrupt, rollback } from "./faults.ts";
import { isKeyOf, type LiveLog, type Loaded } from "./live-log.ts";
import { Lookup } from "./lookup.ts";
import type { Identity } from "./records.ts";
import type { StoredKey } from "./signer.ts";
import { type Edge, edgeOf, type Head, Writer } from "./writer.ts";

/**
 * Reads the log's state, and checks it against the entries, the tiles, the last checkpoint, and what the anchor and
 * this tab or this browser have seen.
 */
export async function load(
  { database, settings: { signer, anchor } }: LiveLog,
  seen?: [tree: TreeHead, by: string],
): Promise<Loaded> {
  const stored = new Lookup(database);
  const lastSeq = await stored.lastSeq();
  const identity = await database.identity();
  const head = await database.head();
  if (!identity || !head) throw corrupt("it has entries, but no key or no head");
  if (lastSeq !== head.size - 1)
    throw corrupt(`its head counts ${head.size} entries, but the last is entry ${lastSeq}`);

  const edge = await readEdge(stored, head.size);
  if (!equalBytes(edgeOf(head.size, edge).root(), head.root)) throw corrupt("its entries do not hash to its root");

  const { origin, key } = identity;
  const note = await database.checkpoint();
  if (note !== undefined) await checkCheckpoint(stored, note, identity, head);
  if (seen) await checkExtends(stored, identity, head, ...seen);
  const anchored = anchor && (await newestOf(anchor, origin));
  if (anchored) await checkExtends(stored, identity, head, anchored, "its anchor");
  if (key.kind === "custom" ? !signer || !isKeyOf(signer, key) : signer) {
    throw new VakError(
      "invalid-argument",
      "The log is signed by another key than the signer's. Open it with the signer of that key, then rotate it.",
    );
  }

  if (!Array.isArray(head.open)) throw corrupt("its head does not list which entries are open");
  const opened = await Promise.all(head.open.map((seq) => stored.entry(seq)));
  const texts = await stored.policies();
  const digests = (base: boolean) => texts.filter((text) => Boolean(text.base) === base).map(({ digest }) => digest);
  let open: Entry[];
  let order: Order;
  try {
    open = opened.map((bytes) => parseEntry(bytes ?? new Uint8Array()));
    order = Order.resume({ size: head.size, policy: head.policy, policies: digests(false), open });
  } catch (error) {
    throw corrupt("the entries that its head lists as open are not", error);
  }
  return { identity, last: checkpointOf(note), head, writer: new Writer(head, edge, order, digests(true)), open };
}

/** @throws VakError `log-rollback` unless the stored log begins with the tree that was seen */
async function checkExtends(
  stored: Lookup,
  { origin }: Identity,
  head: Head,
  seen: TreeHead,
  who: string,
): Promise<void> {
  if (seen.origin !== origin) throw rollback(`${who} has seen another log, ${seen.origin}`);
  if (seen.size > head.size) throw rollback(`it has ${head.size} entries, but ${who} has seen ${seen.size}`);
  const root = edgeOf(seen.size, await readEdge(stored, seen.size)).root();
  if (!equalBytes(root, seen.root)) throw rollback(`its first ${seen.size} entries are not those that ${who} has seen`);
}

/** The last tile of each level of the tree of the first `size` entries, cut to that size. */
async function readEdge(stored: Lookup, size: number): Promise<Edge> {
  const edge: Edge = [];
  for (let level = 0; hashesAt(level, size) > 0; level++) {
    const count = hashesAt(level, size);
    const width = count % TILE_WIDTH;
    if (level === 0) {
      const entries = await stored.entries(count - width, count);
      edge.push(entries.map(leafHash));
    } else {
      const tile = width === 0 ? undefined : await stored.tile(level, (count - width) / TILE_WIDTH);
      edge.push(tile ? splitHashes(tile).slice(0, width) : []);
    }
    if (edge[level]!.length !== width) throw corrupt(`the last tile of level ${level} is incomplete`);
  }
  return edge;
}

async function checkCheckpoint(log: Lookup, stored: string, { origin, key }: Identity, head: Head): Promise<void> {
  const { name, keyId } = ed25519Verifier(origin, key.publicKey);
  let signed: TreeHead;
  try {
    const note = parseNote(toUtf8(stored));
    const own = note.signatures.find((line) => line.name === name && equalBytes(line.keyId, keyId));
    if (!own || !(await verifyOwn(key, own.signature, toUtf8(note.text)))) throw new Error("its signature is wrong");
    signed = parseCheckpoint(note.text);
  } catch (error) {
    throw corrupt("its last checkpoint was not signed by its key", error);
  }
  if (signed.origin !== origin || signed.size > head.size) {
    throw corrupt(`its last checkpoint covers ${signed.size} entries, but it has ${head.size}`);
  }
  const root = signed.size === head.size ? head.root : edgeOf(signed.size, await readEdge(log, signed.size)).root();
  if (!equalBytes(root, signed.root)) throw corrupt("its entries are not those of its last checkpoint");
}

/** Parses a stored checkpoint. */
export function checkpointOf(note: string): Checkpoint;
export function checkpointOf(note: string | undefined): Checkpoint | undefined;
export function checkpointOf(note: string | undefined): Checkpoint | undefined {
  if (note === undefined) return undefined;
  const { origin, size, root } = parseCheckpoint(parseNote(toUtf8(note)).text);
  return { origin, size, root: toBase64(root), note };
}

/** Closes what an earlier session left open. */
export async function recover(live: LiveLog, open: readonly Entry[]): Promise<void> {
  const counts = { intents: 0, runs: 0, agents: 0 };
  const appended: Promise<unknown>[] = [];
  for (const entry of open) {
    if (entry.type === "agent-spawn") counts.agents++;
    else if (entry.type === "run-start") counts.runs++;
    else if (entry.type === "intent") {
      counts.intents++;
      const { agent, run, call, seq } = entry;
      appended.push(live.append({ type: "outcome", agent, run, call, intentOf: seq, status: "unknown", error: null }));
    }
  }
  appended.push(live.append({ type: "recovery", ...counts }));
  await Promise.all(appended);
}

/** Whether a stored key made this signature. Where the browser has Ed25519, this loads no library. */
async function verifyOwn({ kind, publicKey }: StoredKey, signature: Bytes, message: Bytes): Promise<boolean> {
  if (kind !== "webcrypto") return verifyEd25519(signature, message, publicKey);
  return retry(async () => {
    const key = await crypto.subtle.importKey("raw", publicKey, { name: "Ed25519" }, false, ["verify"]);
    return crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
  });
}
