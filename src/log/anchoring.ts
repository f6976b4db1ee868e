/** Talks to a log's anchor: asks which checkpoint it saw last, and sends it each new one. */

import { errorText } from "../base/error-text.ts";
import { lazy } from "../base/lazy.ts";
import { within } from "../base/time.ts";
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import type { Anchor } from "../tlog/anchor.ts";
import { type Checkpoint, parseCheckpoint, type TreeHead } from "../tlog/checkpoint.ts";
import { parseNote } from "../tlog/note-reading.ts";
import type { LiveLog } from "./live-log.ts";

/** Milliseconds that an anchor has to answer. */
const ANCHOR_MS = 15_000;

const inTime = <T>(work: Promise<T>): Promise<T> =>
  within(ANCHOR_MS, work, () => new Error(`the anchor did not answer for ${ANCHOR_MS} ms`));

/** The newest tree of this log that the anchor has seen, if it has seen one and can say so. */
export async function newestOf(anchor: Anchor, origin: string): Promise<TreeHead | undefined> {
  const note = anchor.newest && (await inTime(anchor.newest(origin)));
  return note === undefined ? undefined : parseCheckpoint(parseNote(toUtf8(note)).text);
}

/** Sends the anchor each checkpoint. One that cannot say what it has seen is sent the last checkpoint first. */
export async function startAnchoring(live: LiveLog, anchor: Anchor): Promise<void> {
  if (!anchor.newest && live.last) await putToAnchor(live, anchor, live.last);
  live.onCheckpoint.push(() => void anchorLast(live, anchor));
}

/** Sends the anchor the last checkpoint, and the one that became the last meanwhile. */
async function anchorLast(live: LiveLog, anchor: Anchor): Promise<void> {
  if (live.anchoring) return;
  live.anchoring = true;
  for (let sent = -1; live.last && live.last.size !== sent && !live.ended; ) {
    sent = live.last.size;
    try {
      await putToAnchor(live, anchor, live.last);
    } catch (error) {
      if (error instanceof VakError && error.code === "log-rollback") live.fail(error);
      live.anchorError = errorText(error);
    }
  }
  live.anchoring = false;
}

async function putToAnchor(live: LiveLog, anchor: Anchor, checkpoint: Checkpoint): Promise<void> {
  const consistency = async (oldSize: number, newSize: number) =>
    (await lazy(import("./exporting.ts"))).consistency(live, oldSize, newSize);
  const lines = await inTime(Promise.resolve(anchor.put(checkpoint, { consistency })));
  const { size, root } = checkpoint;
  live.anchored = { size, root, time: Date.now() };
  live.anchorError = null;
  if (!lines) return;
  const note = checkpoint.note + lines;
  if (parseNote(toUtf8(note)).text !== parseNote(toUtf8(checkpoint.note)).text) {
    throw new VakError(
      "invalid-bundle",
      "The anchor's answer is not signature lines: it must return those, or nothing.",
    );
  }
  await live.serially(async () => {
    if (live.ended || live.last?.note !== checkpoint.note) return;
    await live.database.putCheckpoint(note, live.head).catch((error: unknown) => live.fail(error));
    live.last = { ...checkpoint, note };
  });
}
