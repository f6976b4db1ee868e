/** Opens a log to write it, and makes it on first use. */

import { bytesToHex, randomBytes } from "@noble/hashes/utils.js";
import { lazy } from "../base/lazy.ts";
import type { Lock } from "../base/lock.ts";
import { Core, keyOf, type Loaded, type Settings } from "./core.ts";
import { beginFile, Database } from "./database.ts";
import { forget, recall, remember } from "./rollback-guard.ts";
import { createNobleKey, createWebCryptoKey, customKey, extractable, KeyUnavailable } from "./signer.ts";
import { emptyHead, Writer } from "./writer.ts";

export const STOLEN = "another tab took the log's lock";

/** Opens the storage; with the lock, which is then given back when the log ends, begins to write. */
export async function openCore(name: string, settings: Settings, lock: Lock | undefined): Promise<Core> {
  let core: Core | undefined;
  let lost: string | undefined;
  const onLost = (reason: string) => {
    lost ??= reason;
    core?.fail(new Error(reason));
  };
  if (lock) lock.onStolen = () => onLost(STOLEN);
  try {
    if (lock) await beginFile(`${keyOf(name)}:file`);
    core = new Core(name, await Database.open(keyOf(name), onLost), settings);
    if (lost !== undefined) onLost(lost);
    if (lock) await start(core, lock, await load(core));
    return core;
  } catch (error) {
    core?.fail(error);
    await lock?.release();
    throw error;
  }
}

/** Begins to write, with the lock held: opens a new log with its first entry, and closes what was left open. */
export async function start(core: Core, lock: Lock, { writer, open, ...standing }: Loaded): Promise<void> {
  core.lock = lock;
  core.stand(standing);
  core.writer = writer;
  if (core.settings.anchor) await (await lazy(import("./anchoring.ts"))).startAnchoring(core, core.settings.anchor);
  const { origin, key } = core.identity;
  if (core.head.size === 0) {
    const how = { signer: key.kind, extractable: extractable(key) };
    await core.append({ type: "log-open", origin, vkey: core.vkey, ...how });
  } else if (open.length > 0) {
    await (await lazy(import("./resume.ts"))).recover(core, open);
  }
  await rememberAll(core);
  if (core.ended) throw core.ended;
  core.writable.resolve();
}

/** Remembers what the log is now, and from here on each checkpoint, one at a time. */
async function rememberAll(core: Core): Promise<void> {
  let seen = -1;
  let waits = false;
  const now = () => {
    if (waits) return;
    waits = true;
    core.remembered = core.remembered.then(async () => {
      waits = false;
      const { identity, head } = core;
      if (head.size !== seen) await remember(core.name, { origin: identity.origin, ...head });
      seen = head.size;
    });
  };
  core.onCheckpoint.push(now);
  now();
  await core.remembered;
}

const faults = () => lazy(import("./faults.ts"));

/** Where the log stands, checked; a new log begins. */
async function load(core: Core): Promise<Loaded> {
  const { name, database, settings } = core;
  const isNew = !(await database.identity()) && (await database.isEmpty());
  if (isNew && settings.onLost === "forget") await forget(name);
  else if (isNew && database.lost !== undefined) throw (await faults()).lost(await recall(name), database.lost);
  const known = await recall(name);
  if (isNew && known) throw (await faults()).lost(known);
  if (isNew) await createIdentity(core);
  // A new log has nothing to be checked; but an anchor may know one that should be here instead.
  if (!isNew || settings.anchor)
    return (await lazy(import("./resume.ts"))).load(core, known && [known, "this browser"]);
  return { identity: (await database.identity())!, head: emptyHead(), last: undefined, writer: new Writer(), open: [] };
}

async function createIdentity({ name, database, settings: { signer } }: Core): Promise<void> {
  // A log is known by its origin alone, to a witness and to whoever compares two checkpoints: so it must be unique, and
  // must not claim a domain that belongs to someone. `.invalid` never will (RFC 6761).
  const origin = `vak.invalid/${bytesToHex(randomBytes(8))}/${name}`;
  const head = emptyHead();
  try {
    const key = signer ? customKey(signer) : await createWebCryptoKey();
    await database.putIdentity({ origin, key }, head);
  } catch (error) {
    // No Ed25519 in WebCrypto, or no CryptoKey in IndexedDB. Storage that fails must not cost the log its better key.
    if (!(error instanceof KeyUnavailable) && (error as Error).name !== "DataCloneError") throw error;
    await database.putIdentity({ origin, key: await createNobleKey() }, head);
  }
}
