/** Opens a log for writing, and creates it on first use. */

import { bytesToHex, randomBytes } from "@noble/hashes/utils.js";
import { lazy } from "../base/lazy.ts";
import type { Lock } from "../base/lock.ts";
import { beginFile, Database } from "./database.ts";
import { keyOf, LiveLog, type Loaded, type Settings } from "./live-log.ts";
import { forget, recall, remember } from "./rollback-guard.ts";
import { createNobleKey, createWebCryptoKey, customKey, extractable, KeyUnavailable } from "./signer.ts";
import { emptyHead, Writer } from "./writer.ts";

export const STOLEN = "another tab took the log's lock";

/** Opens the database. With the lock, which is released when the log ends, it also starts writing. */
export async function openLive(name: string, settings: Settings, lock: Lock | undefined): Promise<LiveLog> {
  let live: LiveLog | undefined;
  let lost: string | undefined;
  const onLost = (reason: string) => {
    lost ??= reason;
    live?.fail(new Error(reason));
  };
  if (lock) lock.onStolen = () => onLost(STOLEN);
  try {
    if (lock) await beginFile(`${keyOf(name)}:file`);
    live = new LiveLog(name, await Database.open(keyOf(name), onLost), settings);
    if (lost !== undefined) onLost(lost);
    if (lock) await start(live, lock, await loadChecked(live));
    return live;
  } catch (error) {
    live?.fail(error);
    await lock?.release();
    throw error;
  }
}

/** Starts writing, with the lock held: appends a new log's first entry, or closes what an old one left open. */
export async function start(live: LiveLog, lock: Lock, { writer, open, ...state }: Loaded): Promise<void> {
  live.lock = lock;
  live.setState(state);
  live.writer = writer;
  if (live.settings.anchor) await (await lazy(import("./anchoring.ts"))).startAnchoring(live, live.settings.anchor);
  const { origin, key } = live.identity;
  if (live.head.size === 0) {
    const how = { signer: key.kind, extractable: extractable(key) };
    await live.append({ type: "log-open", origin, vkey: live.vkey, ...how });
  } else if (open.length > 0) {
    await (await lazy(import("./resume.ts"))).recover(live, open);
  }
  await rememberAll(live);
  if (live.ended) throw live.ended;
  live.writable.resolve();
}

/** Records the current tree in the rollback guard, and from here on the tree of each checkpoint, one at a time. */
async function rememberAll(live: LiveLog): Promise<void> {
  let seen = -1;
  let waits = false;
  const now = () => {
    if (waits) return;
    waits = true;
    live.remembered = live.remembered.then(async () => {
      waits = false;
      const { identity, head } = live;
      if (head.size !== seen) await remember(live.name, { origin: identity.origin, ...head });
      seen = head.size;
    });
  };
  live.onCheckpoint.push(now);
  now();
  await live.remembered;
}

const faults = () => lazy(import("./faults.ts"));

/** The checked state of the stored log; of a new one, if there is none. */
async function loadChecked(live: LiveLog): Promise<Loaded> {
  const { name, database, settings } = live;
  const isNew = !(await database.identity()) && (await database.isEmpty());
  if (isNew && settings.onLost === "forget") await forget(name);
  else if (isNew && database.lost !== undefined) throw (await faults()).lost(await recall(name), database.lost);
  const known = await recall(name);
  if (isNew && known) throw (await faults()).lost(known);
  if (isNew) await createIdentity(live);
  // A new log has nothing to check, but an anchor may know of one that should be here instead.
  if (!isNew || settings.anchor)
    return (await lazy(import("./resume.ts"))).load(live, known && [known, "this browser"]);
  return { identity: (await database.identity())!, head: emptyHead(), last: undefined, writer: new Writer(), open: [] };
}

async function createIdentity({ name, database, settings: { signer } }: LiveLog): Promise<void> {
  // Witnesses, and anyone who compares two checkpoints, know a log by its origin alone. So it must be unique, and must
  // not claim a domain that could belong to somebody: no domain below `.invalid` ever will (RFC 6761).
  const origin = `vak.invalid/${bytesToHex(randomBytes(8))}/${name}`;
  const head = emptyHead();
  try {
    const key = signer ? customKey(signer) : await createWebCryptoKey();
    await database.putIdentity({ origin, key }, head);
  } catch (error) {
    // No Ed25519 in WebCrypto, or no CryptoKey in IndexedDB. Any other failure must not cost the log its safer key.
    if (!(error instanceof KeyUnavailable) && (error as Error).name !== "DataCloneError") throw error;
    await database.putIdentity({ origin, key: await createNobleKey() }, head);
  }
}
