/** Reads a bundle entry by entry. It does not check who signed it: that is for `verify`. */
import { VakError } from "../errors.ts";
import { parseCheckpoint } from "../tlog/checkpoint.ts";
import { decodeEntries, MAX_ENTRY_BUNDLE_BYTES } from "../tlog/entry-bundle.ts";
import { MAX_NOTE_BYTES, parseNote } from "../tlog/note-reading.ts";
import { TILE_WIDTH } from "../tlog/sizes.ts";
import { tilePath } from "../tlog/tiles.ts";
import type { Bundle } from "./bundle.ts";
import { CHECKPOINT_PATH, valuePath } from "./bundle.ts";
import { type Entry, parseEntry } from "./entry.ts";
import { committedValue, MAX_VALUE_BYTES } from "./value.ts";
import { type OpenedValue, openValue } from "./value-opening.ts";

/** @throws VakError `invalid-bundle` */
export async function* entriesOf(bundle: Bundle): AsyncGenerator<Entry> {
  const bad = (what: string) => new VakError("invalid-bundle", `${what}.`);
  const note = await bundle.read(CHECKPOINT_PATH, MAX_NOTE_BYTES);
  if (!note) throw bad("The bundle has no checkpoint");
  const { size } = parseCheckpoint(parseNote(note).text);
  for (let index = 0; index * TILE_WIDTH < size; index++) {
    const width = Math.min(TILE_WIDTH, size - index * TILE_WIDTH);
    const path = tilePath({ level: "entries", index, width });
    const bytes = await bundle.read(path, MAX_ENTRY_BUNDLE_BYTES);
    if (!bytes) throw bad(`${path} is missing`);
    for (const entry of decodeEntries(bytes, width)) yield parseEntry(entry);
  }
}

/**
 * The private value beside an entry, and the size of its file; undefined when there is none, or it was erased.
 *
 * @throws VakError `invalid-bundle` when it is not the one that the entry commits to, or longer than `maxBytes`
 */
export async function valueBeside(
  bundle: Bundle,
  entry: Entry,
  maxBytes: number = MAX_VALUE_BYTES,
): Promise<(OpenedValue & { bytes: number }) | undefined> {
  const committed = committedValue(entry);
  const file = committed && (await bundle.read(valuePath(entry.seq), maxBytes));
  return file && { ...openValue(file, committed.kind, committed.digest), bytes: file.byteLength };
}
