/** Exports an open log: as bundles, and as proofs of single entries and of consistency. */

import { programPath } from "../audit/bundle.ts";
import { type BundleFile, bundleFiles } from "../audit/bundle-files.ts";
import { writeFiles, zipChunks, zipFiles } from "../audit/bundle-writing.ts";
import { parseEntry } from "../audit/entry.ts";
import { sha256HexOf } from "../base/sha256.ts";
import { aborted, checkSignal } from "../base/signal.ts";
import { VakError } from "../errors.ts";
import type { Checkpoint } from "../tlog/checkpoint.ts";
import { makeProof, proveConsistency } from "../tlog/proof.ts";
import { TILE_WIDTH } from "../tlog/sizes.ts";
import type { LiveLog } from "./live-log.ts";
import { Lookup } from "./lookup.ts";
import type { ExportOptions } from "./options.ts";
import { checkSize, reading } from "./reading.ts";

export async function exportBlob(live: LiveLog, options: ExportOptions): Promise<Blob> {
  const { files } = await filesOf(live, options);
  return reading(live, () => zipFiles(files));
}

export async function exportStream(
  live: LiveLog,
  options: ExportOptions,
): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const { files } = await filesOf(live, options);
  const chunks = zipChunks(files);
  return new ReadableStream({
    pull: async (controller) => {
      const { done, value } = await reading(live, () => chunks.next());
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: async () => {
      await chunks.return(undefined);
    },
  });
}

export async function exportTo(
  live: LiveLog,
  directory: FileSystemDirectoryHandle,
  options: ExportOptions,
): Promise<Checkpoint> {
  const { files, checkpoint } = await filesOf(live, options);
  await writeFiles(files, directory);
  return checkpoint;
}

async function filesOf(live: LiveLog, { since = 0, programs = [], onProgress, signal }: ExportOptions) {
  checkSignal(signal);
  const checkpoint = live.writer || !live.last ? await live.checkpoint() : live.last;
  const { note, size } = checkpoint;
  checkSize(live, since, 0, "size", size);
  const own = programs.length > 0 ? await programFiles(live, programs, size) : [];
  const all = bundleFiles(new Lookup(live.database), { note, size, vkey: live.vkey, since });
  const counted = async function* (): AsyncGenerator<BundleFile> {
    let bytes = 0;
    let entries = since;
    yield* own;
    for await (const file of all) {
      if (signal?.aborted) throw aborted("export", signal);
      yield file;
      bytes += file.bytes.length;
      if (file.path.startsWith("tile/entries/"))
        entries = Math.min(size, (Math.floor(entries / TILE_WIDTH) + 1) * TILE_WIDTH);
      onProgress?.({ entries, size, bytes });
    }
  };
  return { files: counted(), checkpoint };
}

/** The programs as files of a bundle. @throws VakError `invalid-argument` if one was not the program of an agent */
async function programFiles(live: LiveLog, programs: readonly BufferSource[], size: number): Promise<BundleFile[]> {
  const known = new Set<string>();
  for (let seq = 0; seq < size; seq += TILE_WIDTH) {
    const batch = await reading(live, () => new Lookup(live.database).entries(seq, Math.min(size, seq + TILE_WIDTH)));
    for (const entry of batch.map(parseEntry)) if (entry.type === "agent-spawn") known.add(entry.agent.program);
  }
  return Promise.all(
    programs.map(async (program) => {
      const bytes = new Uint8Array(await new Response(program).arrayBuffer());
      const digest = await sha256HexOf(bytes);
      if (known.has(digest)) return { path: programPath(digest), bytes };
      throw new VakError("invalid-argument", `No agent in this log ran the program ${digest}; leave it out.`);
    }),
  );
}

export async function prove(live: LiveLog, seq: number): Promise<string> {
  checkSize(live, seq + 1, 1, "entry");
  const { note, size } = live.last && live.last.size > seq ? live.last : await live.checkpoint();
  return reading(live, () => makeProof(new Lookup(live.database), seq, note, size));
}

export async function consistency(live: LiveLog, oldSize: number, newSize: number): Promise<Uint8Array[]> {
  checkSize(live, newSize, 0, "size");
  checkSize(live, oldSize, 0, "size", newSize);
  return oldSize === 0 ? [] : reading(live, () => proveConsistency(new Lookup(live.database), oldSize, newSize));
}
