/** Another key signs from here on. */
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { type Checkpoint, formatCheckpoint } from "../tlog/checkpoint.ts";
import { ed25519Verifier, formatVkey } from "../tlog/note.ts";
import { type Core, unavailable } from "./core.ts";
import type { Work } from "./database.ts";
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

export async function rotate(core: Core, signer: Signer | undefined): Promise<Checkpoint> {
  const { origin } = core.identity;
  const key = signer ? customKey(signer) : await newKey(core);
  // Tried first, for a rotation that fails half-way ends the log.
  await sign(key, toUtf8(formatCheckpoint({ origin, size: 0, root: emptyHead().root })), signer);
  return core.serially(async () => {
    const writer = core.mayWrite();
    const { key: old } = core.identity;
    const [previous, vkey] = [core.vkey, formatVkey(ed25519Verifier(origin, key.publicKey))];
    if (previous === vkey) throw new VakError("invalid-argument", "That key signs the log already.");
    const draft = { previous, vkey, signer: key.kind, extractable: extractable(key) };
    const seq = writer.append({ type: "key-rotation", ...draft });
    // Taken in the same turn, so that the rotation is the last entry under its checkpoint.
    const batch = writer.take()!;
    const identity = { origin, key };
    let last: Checkpoint | undefined;
    await core.put(batch, async () => {
      last = await core.sign(batch.after, [old, key], signer);
      const rotation = { seq, previous, note: last.note };
      return writing(identity, rotation);
    });
    if (core.ended) throw core.ended;
    core.stand({ identity, head: core.head, last });
    if (signer) core.settings.signer = signer;
    else delete core.settings.signer;
    core.tellCheckpoint();
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

async function newKey({ identity: { key } }: Core): Promise<StoredKey> {
  if (key.kind === "noble") return createNobleKey();
  return createWebCryptoKey().catch((error: unknown) => {
    if (error instanceof KeyUnavailable) return createNobleKey();
    throw unavailable(error);
  });
}
