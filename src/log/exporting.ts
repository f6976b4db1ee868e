/** What leaves an open log: bundles of it, and proofs. */

import { type BundleFile, bundleFiles, programPath, writeFiles, zipChunks, zipFiles } from "../audit/bundle.ts";
import { parseEntry } from "../audit/entry.ts";
import { sha256HexOf } from "../base/sha256.ts";
import { VakError } from "../errors.ts";
import type { Checkpoint } from "../tlog/checkpoint.ts";
import { makeProof, proveConsistency } from "../tlog/proof.ts";
import { TILE_WIDTH } from "../tlog/sizes.ts";
import type { Core } from "./core.ts";
import { Lookup } from "./lookup.ts";
import type { ExportOptions } from "./options.ts";
import { checkSize, reading } from "./reading.ts";

export async function exportBlob(core: Core, options: ExportOptions): Promise<Blob> {
  const { files } = await filesOf(core, options);
  return reading(core, () => zipFiles(files));
}

export async function exportStream(
  core: Core,
  options: ExportOptions,
): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const { files } = await filesOf(core, options);
  const chunks = zipChunks(files);
  return new ReadableStream({
    pull: async (controller) => {
      const { done, value } = await reading(core, () => chunks.next());
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: async () => {
      await chunks.return(undefined);
    },
  });
}

export async function exportTo(
  core: Core,
  directory: FileSystemDirectoryHandle,
  options: ExportOptions,
): Promise<Checkpoint> {
  const { files, checkpoint } = await filesOf(core, options);
  await writeFiles(files, directory);
  return checkpoint;
}

async function filesOf(core: Core, { since = 0, programs = [], onProgress, signal }: ExportOptions) {
  const checkpoint = core.writer || !core.last ? await core.checkpoint() : core.last;
  const { note, size } = checkpoint;
  checkSize(core, since, 0, "size", size);
  const own = programs.length > 0 ? await programFiles(core, programs, size) : [];
  const all = bundleFiles(new Lookup(core.database), { note, size, vkey: core.vkey, since });
  const counted = async function* (): AsyncGenerator<BundleFile> {
    let bytes = 0;
    let entries = since;
    yield* own;
    for await (const file of all) {
      if (signal?.aborted) throw new VakError("aborted", "The export was aborted.", { cause: signal.reason });
      yield file;
      bytes += file.bytes.length;
      if (file.path.startsWith("tile/entries/"))
        entries = Math.min(size, (Math.floor(entries / TILE_WIDTH) + 1) * TILE_WIDTH);
      onProgress?.({ entries, size, bytes });
    }
  };
  return { files: counted(), checkpoint };
}

/** Programs as files of a bundle. @throws VakError `invalid-argument` where one was no agent's */
async function programFiles(core: Core, programs: readonly BufferSource[], size: number): Promise<BundleFile[]> {
  const known = new Set<string>();
  for (let seq = 0; seq < size; seq += TILE_WIDTH) {
    const batch = await reading(core, () => new Lookup(core.database).entries(seq, Math.min(size, seq + TILE_WIDTH)));
    for (const entry of batch.map(parseEntry)) if (entry.type === "agent-spawn") known.add(entry.agent.program);
  }
  return Promise.all(
    programs.map(async (program) => {
      const bytes = new Uint8Array(await new Response(program).arrayBuffer());
      const digest = await sha256HexOf(bytes);
      if (known.has(digest)) return { path: programPath(digest), bytes };
      throw new VakError("invalid-argument", `No agent of this log had the program ${digest}.`);
    }),
  );
}

export async function prove(core: Core, seq: number): Promise<string> {
  checkSize(core, seq + 1, 1, "entry");
  const { note, size } = core.last && core.last.size > seq ? core.last : await core.checkpoint();
  return reading(core, () => makeProof(new Lookup(core.database), seq, note, size));
}

export async function consistency(core: Core, oldSize: number, newSize: number): Promise<Uint8Array[]> {
  checkSize(core, newSize, 0, "size");
  checkSize(core, oldSize, 0, "size", newSize);
  return oldSize === 0 ? [] : reading(core, () => proveConsistency(new Lookup(core.database), oldSize, newSize));
}
