/** Follows a log that another tab is writing, until this tab can take over as its writer. */

import { takeLock } from "../base/lock.ts";
import type { Database } from "./database.ts";
import { rollback } from "./faults.ts";
import { keyOf, type LiveLog, type Settings, type State } from "./live-log.ts";
import { openLive, STOLEN, start } from "./open.ts";
import { checkpointOf, load } from "./resume.ts";

/** Milliseconds between two looks at a log that another tab is just creating. */
const CREATING_MS = 20;

/**
 * Opens the log for writing if nobody else has; otherwise for reading, as soon as there is something to read.
 *
 * @throws the signal's reason
 */
export async function openForReading(name: string, settings: Settings, signal?: AbortSignal): Promise<LiveLog> {
  for (;;) {
    signal?.throwIfAborted();
    const lock = await takeLock(keyOf(name));
    const live = await openLive(name, settings, lock);
    if (live.writer) return live;
    const state = await stateOf(live.database);
    if (state && !live.ended) {
      live.setState(state);
      void follow(live);
      return live;
    }
    live.fail(new Error("another tab is just creating it"));
    await new Promise((done) => setTimeout(done, CREATING_MS));
  }
}

async function stateOf(database: Database): Promise<State | undefined> {
  const [identity, head, note] = [await database.identity(), await database.head(), await database.checkpoint()];
  return identity && head && { identity, head, last: checkpointOf(note) };
}

/** Follows the tab that writes until it closes the log or dies, then takes over. */
async function follow(live: LiveLog): Promise<void> {
  const look = () => void live.serially(() => refresh(live));
  live.channel.onmessage = look;
  look();
  let lock: Awaited<ReturnType<typeof takeLock>>;
  try {
    lock = await takeLock(keyOf(live.name), { signal: live.stopped.signal });
    live.channel.onmessage = null;
    await live.tail;
    if (live.ended) throw live.ended;
    lock!.onStolen = () => live.fail(new Error(STOLEN));
    // This tab serves as an anchor: what it has seen must still be there.
    await start(live, lock!, await load(live, [{ origin: live.identity.origin, ...live.head }, "this tab"]));
  } catch (error) {
    if (!live.ended) live.fail(error);
    await lock?.release();
  }
}

/** Reads how far the writing tab has got. */
async function refresh(live: LiveLog): Promise<void> {
  if (live.ended || live.writer) return;
  try {
    const state = await stateOf(live.database);
    if (!state || state.head.size < live.head.size) throw rollback("it has become shorter");
    live.setState(state);
    live.wake();
  } catch (error) {
    live.fail(error);
  }
}
