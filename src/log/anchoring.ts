/** What a log has to do with its anchor: it asks what that has seen, and gives it each new checkpoint. */

import { lazy } from "../base/lazy.ts";
import { within } from "../base/time.ts";
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import type { Anchor } from "../tlog/anchor.ts";
import { type Checkpoint, parseCheckpoint, type TreeHead } from "../tlog/checkpoint.ts";
import { parseNote } from "../tlog/note-reading.ts";
import type { Core } from "./core.ts";

/** Milliseconds that an anchor may take. */
const ANCHOR_MS = 15_000;

const inTime = <T>(work: Promise<T>): Promise<T> =>
  within(ANCHOR_MS, work, () => new Error(`the anchor did not answer for ${ANCHOR_MS} ms`));

/** The newest tree of the log that the anchor has seen, if it has and tells. */
export async function newestOf(anchor: Anchor, origin: string): Promise<TreeHead | undefined> {
  const note = anchor.newest && (await inTime(anchor.newest(origin)));
  return note === undefined ? undefined : parseCheckpoint(parseNote(toUtf8(note)).text);
}

/** Has the anchor be given each checkpoint. One that cannot be asked what it has seen is told first what there is. */
export async function startAnchoring(core: Core, anchor: Anchor): Promise<void> {
  if (!anchor.newest && core.last) await putToAnchor(core, anchor, core.last);
  core.onCheckpoint.push(() => void anchorLast(core, anchor));
}

/** Gives the anchor the last checkpoint, and whichever comes meanwhile. */
async function anchorLast(core: Core, anchor: Anchor): Promise<void> {
  if (core.anchoring) return;
  core.anchoring = true;
  for (let sent = -1; core.last && core.last.size !== sent && !core.ended; ) {
    sent = core.last.size;
    try {
      await putToAnchor(core, anchor, core.last);
    } catch (error) {
      if (error instanceof VakError && error.code === "log-rollback") core.fail(error);
      core.anchorError = error instanceof Error ? error.message : String(error);
    }
  }
  core.anchoring = false;
}

async function putToAnchor(core: Core, anchor: Anchor, checkpoint: Checkpoint): Promise<void> {
  const consistency = async (oldSize: number, newSize: number) =>
    (await lazy(import("./exporting.ts"))).consistency(core, oldSize, newSize);
  const lines = await inTime(Promise.resolve(anchor.put(checkpoint, { consistency })));
  const { size, root } = checkpoint;
  core.anchored = { size, root, time: Date.now() };
  core.anchorError = null;
  if (!lines) return;
  const note = checkpoint.note + lines;
  if (parseNote(toUtf8(note)).text !== parseNote(toUtf8(checkpoint.note)).text) {
    throw new VakError("invalid-bundle", "What the anchor answered is not signature lines.");
  }
  await core.serially(async () => {
    if (core.ended || core.last?.note !== checkpoint.note) return;
    await core.database.putCheckpoint(note, core.head).catch((error: unknown) => core.fail(error));
    core.last = { ...checkpoint, note };
  });
}
