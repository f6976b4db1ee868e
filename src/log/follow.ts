/** A log that another tab writes: it is read, and followed, until this tab can go on in its place. */

import { takeLock } from "../base/lock.ts";
import { type Core, keyOf, type Settings, type Standing } from "./core.ts";
import type { Database } from "./database.ts";
import { rollback } from "./faults.ts";
import { openCore, STOLEN, start } from "./open.ts";
import { checkpointOf, load } from "./resume.ts";

/** Milliseconds between two looks at a log that another tab is just making. */
const MAKING_MS = 20;

/**
 * Opens for writing where nobody else does; otherwise for reading, as soon as there is something to read.
 *
 * @throws the signal's reason
 */
export async function openForReading(name: string, settings: Settings, signal?: AbortSignal): Promise<Core> {
  for (;;) {
    signal?.throwIfAborted();
    const lock = await takeLock(keyOf(name));
    const core = await openCore(name, settings, lock);
    if (core.writer) return core;
    const standing = await standingOf(core.database);
    if (standing && !core.ended) {
      core.stand(standing);
      void follow(core);
      return core;
    }
    core.fail(new Error("another tab is just making it"));
    await new Promise((done) => setTimeout(done, MAKING_MS));
  }
}

async function standingOf(database: Database): Promise<Standing | undefined> {
  const [identity, head, note] = [await database.identity(), await database.head(), await database.checkpoint()];
  return identity && head && { identity, head, last: checkpointOf(note) };
}

/** While another tab writes: follows it until it is closed, or dies, and then goes on in its place. */
async function follow(core: Core): Promise<void> {
  const look = () => void core.serially(() => refresh(core));
  core.channel.onmessage = look;
  look();
  let lock: Awaited<ReturnType<typeof takeLock>>;
  try {
    lock = await takeLock(keyOf(core.name), { signal: core.stopped.signal });
    core.channel.onmessage = null;
    await core.tail;
    if (core.ended) throw core.ended;
    lock!.onStolen = () => core.fail(new Error(STOLEN));
    // This tab has been an anchor: what it has seen must still be there.
    await start(core, lock!, await load(core, [{ origin: core.identity.origin, ...core.head }, "this tab"]));
  } catch (error) {
    if (!core.ended) core.fail(error);
    await lock?.release();
  }
}

/** Reads how far the tab that writes has come. */
async function refresh(core: Core): Promise<void> {
  if (core.ended || core.writer) return;
  try {
    const standing = await standingOf(core.database);
    if (!standing || standing.head.size < core.head.size) throw rollback("it has become shorter");
    core.stand(standing);
    core.wake();
  } catch (error) {
    core.fail(error);
  }
}
