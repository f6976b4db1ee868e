/** Rotates the key that signs a log's checkpoints. */

import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { type Checkpoint, formatCheckpoint } from "../tlog/checkpoint.ts";
import { ed25519Verifier, formatVkey } from "../tlog/note.ts";
import type { Work } from "./database.ts";
import { type LiveLog, unavailable } from "./live-log.ts";
import { type Identity, type Rotation, rotationKey } from "./records.ts";
import {
  createNobleKey,
  createWebCryptoKey,
  customKey,
  extractable,
  KeyUnavailable,
  type Signer,
  type StoredKey,
  sign,
} from "./signer.ts";
import { emptyHead } from "./writer.ts";

export async function rotate(live: LiveLog, signer: Signer | undefined): Promise<Checkpoint> {
  const { origin } = live.identity;
  const key = signer ? customKey(signer) : await newKey(live);
  // Tried before anything is written, since a rotation that fails half-way ends the log.
  await sign(key, toUtf8(formatCheckpoint({ origin, size: 0, root: emptyHead().root })), signer);
  return live.serially(async () => {
    const writer = live.requireWriter();
    const { key: old } = live.identity;
    const [previous, vkey] = [live.vkey, formatVkey(ed25519Verifier(origin, key.publicKey))];
    if (previous === vkey)
      throw new VakError("invalid-argument", "This key already signs the log; rotate to another one.");
    const draft = { previous, vkey, signer: key.kind, extractable: extractable(key) };
    const seq = writer.append({ type: "key-rotation", ...draft });
    // Taken synchronously, so that the rotation is the last entry under its checkpoint.
    const batch = writer.take()!;
    const identity = { origin, key };
    let last: Checkpoint | undefined;
    await live.put(batch, async () => {
      last = await live.sign(batch.after, [old, key], signer);
      const rotation = { seq, previous, note: last.note };
      return writing(identity, rotation);
    });
    if (live.ended) throw live.ended;
    live.setState({ identity, head: live.head, last });
    if (signer) live.settings.signer = signer;
    else delete live.settings.signer;
    live.announceCheckpoint();
    return last!;
  });
}

function writing(identity: Identity, rotation: Rotation): Work {
  return function* (transaction) {
    const meta = transaction.objectStore("meta");
    yield meta.put(identity, "identity");
    yield meta.put(rotation.note, "checkpoint");
    yield meta.add(rotation, rotationKey(rotation.seq));
  };
}

async function newKey({ identity: { key } }: LiveLog): Promise<StoredKey> {
  if (key.kind === "noble") return createNobleKey();
  return createWebCryptoKey().catch((error: unknown) => {
    if (error instanceof KeyUnavailable) return createNobleKey();
    throw unavailable(error);
  });
}
