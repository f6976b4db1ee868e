/** An agent's mounts: directories among its files that are kept elsewhere, opened together and then kept in step. */

import type { MountRef } from "../audit/vocabulary/mount.ts";
import { joinLabels } from "../labels.ts";
import type { Limits } from "../limits.ts";
import type { MountShape, SeedFile } from "../protocol/messages.ts";
import { shapesOf } from "../protocol/trace.ts";
import { Bounds } from "./bounds.ts";
import { DirectorySource } from "./directory.ts";
import { unavailable } from "./mount-errors.ts";
import { type Neighbour, NeighbourSource } from "./neighbour.ts";
import { checkDirectories, checkOverlap } from "./overlap.ts";
import { checkPersistName, PersistSource } from "./persist.ts";
import type { Found, Source } from "./source.ts";
import { type Files, inTime, loadMount, type Note, type OpenMount, saveMount } from "./sync.ts";
import { itemOf, join, ordered, type Tree, treeDigest } from "./tree.ts";

/** A mount that the page asks for, with its options checked. */
export interface Wanted {
  /** From the root, such as `data`; empty for the root itself. */
  path: string;
  readOnly: boolean;
  quotaBytes: number;
  /** The labels that the page gives its content. */
  labels: readonly string[];
  from:
    | { files: Record<string, SeedFile> }
    | { directory: FileSystemDirectoryHandle }
    | { persist: string }
    | { agent: Neighbour };
}

export class Mounts {
  readonly refs: MountRef[];
  readonly shapes: MountShape[];
  /** Their initial content, by path from the root; whoever takes it clears it. */
  readonly first: Map<string, SeedFile>;
  /** The labels of their initial content. */
  readonly labels: readonly string[];
  readonly #mounts: readonly OpenMount[];
  /** The last of the loads and saves, which run one at a time. */
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(mounts: readonly OpenMount[], first: Map<string, SeedFile>, labels: readonly string[]) {
    this.labels = labels;
    this.#mounts = mounts;
    this.first = first;
    this.refs = mounts.map(({ ref }) => ref);
    this.shapes = shapesOf(this.refs);
  }

  /**
   * Opens their sources, and reads what is there.
   *
   * @throws VakError `invalid-argument`, `files-in-use`, `files-denied`, `files-unavailable`, `unsupported`, `closed`
   */
  static async open(wanted: readonly Wanted[], limits: Limits): Promise<Mounts> {
    await checkDirectories(
      wanted.flatMap(({ path, readOnly, from }) =>
        "directory" in from ? [{ path, readOnly, handle: from.directory }] : [],
      ),
    );
    const mounts: OpenMount[] = [];
    const first = new Map<string, SeedFile>();
    let labels = joinLabels([]);
    try {
      for (const one of wanted) {
        const { path, readOnly, quotaBytes, from } = one;
        const where = `the mount /${path}`;
        const bounds = () => new Bounds(path, quotaBytes, limits.fileCount);
        const source = await sourceOf(one, where);
        const base: Tree = new Map();
        const ref: MountRef = { path: `/${path}`, ...kindOf(from), readOnly, quotaBytes, digest: "" };
        mounts.push({ path, readOnly, quotaBytes, source, base, bounds, ref });
        const found = source ? await inTime(where, source.read(base, bounds)) : await given(from, bounds());
        labels = joinLabels([labels, one.labels, found.labels ?? []]);
        // In a fixed order, since a program can see the order in which its files were created.
        for (const below of ordered(found.tree.keys())) {
          const item = found.tree.get(below)!;
          first.set(join(path, below), item.type === "file" ? found.contents.get(below)! : item);
          base.set(below, item);
        }
        ref.digest = await treeDigest(base);
      }
      checkOverlap(mounts);
      return new Mounts(mounts, first, labels);
    } catch (error) {
      await Promise.all(mounts.map(({ source }) => source?.release?.()));
      throw error;
    }
  }

  /** The mounts of a recorded agent, which nothing keeps. */
  static recorded(refs: readonly MountRef[]): Mounts {
    const mounts = refs.map(({ path, from, readOnly, quotaBytes, digest }): OpenMount => {
      const ref = { path, from, readOnly, quotaBytes, digest };
      return { path: path.slice(1), readOnly, quotaBytes, source: undefined, base: new Map(), bounds: noBounds, ref };
    });
    return new Mounts(mounts, new Map(), []);
  }

  /** Whether the path is in a read-only mount. */
  isReadOnly(path: string): boolean {
    const holding = this.#mounts.filter((mount) => mount.path === "" || `${path}/`.startsWith(`${mount.path}/`));
    return holding.sort((a, b) => b.path.length - a.path.length)[0]?.readOnly ?? false;
  }

  /**
   * Gives the agent what has changed in the sources of its mounts.
   *
   * @throws VakError `files-denied`, `files-unavailable`, `log-unavailable`
   */
  load(files: Files, note: Note): Promise<void> {
    return this.#inTurn(async () => {
      for (const mount of this.#mounts) if (mount.source) await loadMount(mount, mount.source, files, note);
    });
  }

  /**
   * Writes what the agent has changed to the sources of its mounts, as far as possible.
   *
   * @throws VakError `files-conflict`, `files-denied`, `files-unavailable`, `files-in-use`, `log-unavailable`
   */
  save(files: Files, note: Note): Promise<void> {
    return this.#inTurn(async () => {
      let failed: unknown;
      for (const mount of this.#mounts) {
        try {
          if (mount.source?.write) await saveMount(mount, mount.source, files, note);
        } catch (error) {
          failed ??= error;
        }
      }
      if (failed) throw failed;
    });
  }

  /** Lets others write their sources. */
  async release(): Promise<void> {
    await this.#tail.catch(() => {});
    await Promise.all(this.#mounts.map(({ source }) => source?.release?.()));
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#tail.catch(() => {}).then(work);
    this.#tail = done;
    return done;
  }
}

function noBounds(): never {
  throw unavailable("Nothing keeps this mount: it was recorded.");
}

function kindOf(from: Wanted["from"]): Pick<MountRef, "from" | "name"> {
  if ("persist" in from) return { from: "persist", name: from.persist };
  if ("agent" in from) return { from: "agent", name: from.agent.id };
  return { from: "directory" in from ? "directory" : "files" };
}

async function sourceOf({ from, readOnly }: Wanted, where: string): Promise<Source | undefined> {
  if ("directory" in from) return new DirectorySource(from.directory, `the directory of ${where}`, readOnly);
  if ("persist" in from) return PersistSource.open(checkPersistName(from.persist), readOnly);
  return "agent" in from ? new NeighbourSource(from.agent, where) : undefined;
}

/** The files that the page gave, which nothing else keeps. */
async function given(from: Wanted["from"], bounds: Bounds): Promise<Found> {
  const found: Found = { tree: new Map(), contents: new Map() };
  for (const [path, file] of Object.entries("files" in from ? from.files : {})) {
    bounds.take(path, file instanceof Uint8Array ? file.byteLength : 0);
    found.tree.set(path, await itemOf(file));
    if (file instanceof Uint8Array) found.contents.set(path, file as Uint8Array<ArrayBuffer>);
  }
  return found;
}
