/**
 * An agent's mounts: directories of its files that are kept elsewhere. What is there comes into the agent's files before a
 * run, and what the agent changed goes back after it. What was changed on both sides is left as it is on both.
 */

import type { Draft } from "../audit/entry.ts";
import type { MountRef } from "../audit/vocabulary/mount.ts";
import { sha256HexOf } from "../base/sha256.ts";
import { within } from "../base/time.ts";
import { VakError } from "../errors.ts";
import { joinLabels } from "../labels.ts";
import type { Limits } from "../limits.ts";
import type { MountShape, SeedFile, TreeEntry } from "../protocol/messages.ts";
import { shapesOf } from "../protocol/trace.ts";
import { DirectorySource } from "./directory.ts";
import { checkPersistName, PersistSource } from "./persist.ts";
import { type Failure, refusal, type Source } from "./source.ts";
import {
  agree,
  Bounds,
  type Found,
  type Item,
  itemOf,
  join,
  ordered,
  planChanges,
  sameTree,
  type Tree,
  treeDigest,
  unavailable,
} from "./tree.ts";

/** A mount as the page wants it, its options looked at. */
export interface Wanted {
  /** From the root, as `data`; that of the root itself is empty. */
  path: string;
  readOnly: boolean;
  quotaBytes: number;
  /** Of what is in it, as the page says. */
  labels: readonly string[];
  from:
    | { files: Record<string, SeedFile> }
    | { directory: FileSystemDirectoryHandle }
    | { persist: string }
    | { agent: Neighbour };
}

/** Another agent's folder. */
export interface Neighbour {
  id: string;
  /** What it has read so far. */
  labels(): readonly string[];
  /** Null where there is no such folder. @throws VakError `closed` or `agent-lost` when there is no such agent any more */
  tree(detail: "digests" | "bytes"): Promise<TreeEntry[] | null>;
}

/** The files of the agent that has the mounts, in its worker. What is put and removed is recorded. */
export interface Files {
  tree(path: string): Promise<TreeEntry[] | null>;
  read(path: string): Promise<Uint8Array<ArrayBuffer>>;
  put(path: string, file: SeedFile): Promise<void>;
  remove(path: string): Promise<void>;
  /** What the agent has read so far. */
  labels(): readonly string[];
  /** The agent is about to be given something of these: from here on no call of it is decided without. */
  label(labels: readonly string[]): Promise<unknown>;
}

type WithoutAgent<T> = T extends unknown ? Omit<T, "agent"> : never;
type MountDraft = WithoutAgent<Extract<Draft, { type: "mount-read" | "mount-write" | "mount-written" }>>;
/** Puts an entry into the log. @throws VakError `log-unavailable`; `files-denied` where the agent may not write any more */
export type Note = (entry: MountDraft) => Promise<{ seq: number }>;

/** ms that what keeps a mount may take: a disk that is gone may never answer. */
const PATIENCE = 60_000;

/** Names that a message lists; and the longest one in the log, UTF-16 units. */
const MAX_NAMES = 5;
const MAX_MESSAGE = 1000;

interface Mount extends Omit<Wanted, "from" | "labels"> {
  ref: MountRef;
  source: Source | undefined;
  /** What agent and source had when they last agreed, path by path. */
  base: Tree;
  bounds: () => Bounds;
}

export class Mounts {
  readonly refs: MountRef[];
  readonly shapes: MountShape[];
  /** What is in them to begin with, by path from the root; whoever has taken it clears it. */
  readonly first: Map<string, SeedFile>;
  /** Of what is in them to begin with. */
  readonly labels: readonly string[];
  private readonly mounts: readonly Mount[];
  /** All that was begun: one after the other. */
  private tail: Promise<unknown> = Promise.resolve();

  private constructor(mounts: readonly Mount[], first: Map<string, SeedFile>, labels: readonly string[]) {
    this.labels = labels;
    this.mounts = mounts;
    this.first = first;
    this.refs = mounts.map(({ ref }) => ref);
    this.shapes = shapesOf(this.refs);
  }

  /**
   * Opens what keeps them, and reads what is there.
   *
   * @throws VakError `invalid-argument`, `files-in-use`, `files-denied`, `files-unavailable`, `unsupported`, `closed`
   */
  static async open(wanted: readonly Wanted[], limits: Limits): Promise<Mounts> {
    await checkDirectories(wanted);
    const mounts: Mount[] = [];
    const first = new Map<string, SeedFile>();
    let labels = joinLabels();
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
        labels = joinLabels(labels, one.labels, found.labels ?? []);
        // In an order of ours: the program sees in which its files were made.
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

  /** Mounts as a recorded agent had them, which nothing keeps. */
  static recorded(refs: readonly MountRef[]): Mounts {
    const mounts = refs.map(({ path, from, readOnly, quotaBytes, digest }): Mount => {
      const ref = { path, from, readOnly, quotaBytes, digest };
      return { path: path.slice(1), readOnly, quotaBytes, source: undefined, base: new Map(), bounds: noBounds, ref };
    });
    return new Mounts(mounts, new Map(), []);
  }

  /** Whether it is in a mount in which only what keeps it changes anything. */
  isReadOnly(path: string): boolean {
    const holding = this.mounts.filter((mount) => mount.path === "" || `${path}/`.startsWith(`${mount.path}/`));
    return holding.sort((a, b) => b.path.length - a.path.length)[0]?.readOnly ?? false;
  }

  /**
   * Gives the agent what has changed in what keeps its mounts.
   *
   * @throws VakError `files-denied`, `files-unavailable`, `log-unavailable`
   */
  load(files: Files, note: Note): Promise<void> {
    return this.inTurn(async () => {
      for (const mount of this.mounts) if (mount.source) await loadOne(mount, mount.source, files, note);
    });
  }

  /**
   * Writes what the agent has changed to what keeps its mounts, as far as that can be done.
   *
   * @throws VakError `files-conflict`, `files-denied`, `files-unavailable`, `files-in-use`, `log-unavailable`
   */
  save(files: Files, note: Note): Promise<void> {
    return this.inTurn(async () => {
      let failed: unknown;
      for (const mount of this.mounts) {
        try {
          if (mount.source?.write) await saveOne(mount, mount.source, files, note);
        } catch (error) {
          failed ??= error;
        }
      }
      if (failed) throw failed;
    });
  }

  /** Lets others have what keeps them. */
  async release(): Promise<void> {
    await this.tail.catch(() => {});
    await Promise.all(this.mounts.map(({ source }) => source?.release?.()));
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.tail.catch(() => {}).then(work);
    this.tail = done;
    return done;
  }
}

function noBounds(): never {
  throw unavailable("Nothing keeps the mount.");
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

/** What the page gave, which nothing else keeps. */
async function given(from: Wanted["from"], bounds: Bounds): Promise<Found> {
  const found: Found = { tree: new Map(), contents: new Map() };
  for (const [path, file] of Object.entries("files" in from ? from.files : {})) {
    bounds.take(path, file instanceof Uint8Array ? file.byteLength : 0);
    found.tree.set(path, await itemOf(file));
    if (file instanceof Uint8Array) found.contents.set(path, file as Uint8Array<ArrayBuffer>);
  }
  return found;
}

/** What keeps other things of vak's, or what another mount writes, is not to be mounted. */
async function checkDirectories(wanted: readonly Wanted[]): Promise<void> {
  const directories = wanted.flatMap(({ path, readOnly, from }) =>
    "directory" in from ? [{ path, readOnly, handle: from.directory }] : [],
  );
  const root = await navigator.storage?.getDirectory?.().catch(() => undefined);
  for (const { path, handle } of directories) {
    const below = await root?.resolve(handle).catch(() => null);
    if (below && (below.length === 0 || below[0]!.startsWith("vak."))) {
      const message = `The mount /${path} is a directory in which vak keeps other things: make one of its own below it.`;
      throw new VakError("invalid-argument", message);
    }
  }
  for (const [i, one] of directories.entries()) {
    for (const other of directories.slice(i + 1)) {
      if (one.readOnly && other.readOnly) continue;
      if ((await one.handle.resolve(other.handle)) === null && (await other.handle.resolve(one.handle)) === null)
        continue;
      const message = `The mounts /${one.path} and /${other.path} are of directories one of which is in the other, or the same.`;
      throw new VakError("invalid-argument", message);
    }
  }
}

/** What is kept for the root may not be where another mount is. */
function checkOverlap(mounts: readonly Mount[]): void {
  const root = mounts.find(({ path }) => path === "");
  for (const { path } of mounts) {
    if (path === "" || !root) continue;
    const item = root.base.get(path);
    const full = [...root.base.keys()].some((other) => other.startsWith(`${path}/`));
    if (!full && (item === undefined || item.type === "directory")) continue;
    throw new VakError(
      "invalid-argument",
      `What the mount / keeps has files at ${path}, where another mount is to be.`,
    );
  }
}

/** A copy of another agent's folder. Once that agent is gone, the last copy stays. */
class NeighbourSource implements Source {
  private readonly agent: Neighbour;
  private readonly where: string;
  private begun = false;

  constructor(agent: Neighbour, where: string) {
    this.agent = agent;
    this.where = where;
  }

  async read(known: Tree, bounds: () => Bounds): Promise<Found> {
    const before = this.agent.labels();
    try {
      if (this.begun) {
        const now = await treeOf((await this.agent.tree("digests")) ?? []);
        if (sameTree(now, known)) return unchanged(known);
      }
      const entries = (await this.agent.tree("bytes")) ?? [];
      const limits = bounds();
      for (const { path, type, size } of entries) limits.take(path, type === "file" ? size : 0);
      this.begun = true;
      const contents = new Map(entries.flatMap(({ path, bytes }) => (bytes ? [[path, bytes] as const] : [])));
      // What was declassified meanwhile may be in it still.
      return { tree: await treeOf(entries), contents, labels: joinLabels(before, this.agent.labels()) };
    } catch (error) {
      const gone = error instanceof VakError && (error.code === "closed" || error.code === "agent-lost");
      if (gone && this.begun) return unchanged(known);
      throw gone ? error : refusal(this.where, error);
    }
  }
}

const unchanged = (known: Tree): Found => ({ tree: new Map(known), contents: new Map() });

/** What a worker told; digests are its own words, unless there are bytes to take them of. */
async function treeOf(entries: readonly TreeEntry[]): Promise<Tree> {
  const tree: Tree = new Map();
  for (const { path, type, size, digest, target, bytes } of entries) {
    if (type === "file") tree.set(path, { type, size, digest: bytes ? await sha256HexOf(bytes) : digest! });
    else tree.set(path, type === "symlink" ? { type, target: target! } : { type });
  }
  return tree;
}

/** What the agent has in a mount, by the word of its worker: of which nothing is believed that no agent can have. */
async function ownTree({ path, bounds }: Mount, files: Files): Promise<Tree> {
  const entries = (await files.tree(path)) ?? [];
  const limits = bounds();
  for (const { path, type, size } of entries) limits.take(path, type === "file" ? size : 0);
  return treeOf(entries);
}

async function loadOne(mount: Mount, source: Source, files: Files, note: Note): Promise<void> {
  const { path, base, bounds, ref } = mount;
  const found = await inTime(`the mount /${path}`, source.read(base, bounds));
  if (sameTree(found.tree, base)) return;
  const own = await ownTree(mount, files);
  const plan = planChanges(found.tree, own, base);
  agree(base, found.tree, own);
  if (plan.remove.length + plan.put.length === 0) return;
  const next = changed(own, plan, found.tree);
  await files.label(found.labels ?? []);
  await note({ type: "mount-read", mount: ref.path, digest: await treeDigest(next) });
  for (const below of plan.remove) {
    await files.remove(join(path, below));
    base.delete(below);
  }
  for (const below of plan.put) {
    const item = found.tree.get(below)!;
    await files.put(join(path, below), item.type === "file" ? found.contents.get(below)! : item);
    base.set(below, item);
  }
}

async function saveOne(mount: Mount, source: Source, files: Files, note: Note): Promise<void> {
  const { path, base, bounds, ref, quotaBytes } = mount;
  const own = await ownTree(mount, files);
  if (sameTree(own, base)) return;
  const there = (await inTime(`the mount /${path}`, source.read(base, bounds))).tree;
  const { remove, put: paths, conflicts } = planChanges(own, there, base);
  agree(base, own, there);
  const put = new Map<string, SeedFile>();
  let bytes = 0;
  for (const below of paths) {
    const item = own.get(below)!;
    const file = item.type === "file" ? await files.read(join(path, below)) : item;
    // What is written is what was read just now, whatever the worker said of it before.
    own.set(below, await itemOf(file));
    bytes += file instanceof Uint8Array ? file.byteLength : 0;
    if (bytes > quotaBytes) throw unavailable(`The mount /${path} would hold more than its quotaBytes, ${quotaBytes}.`);
    put.set(below, file);
  }
  const failures: Failure[] = conflicts.map((path) => ({ path, conflict: true, why: "it was changed there, too" }));
  if (remove.length + put.size > 0) {
    const tree = changed(there, { remove, put: paths }, own);
    const [previous, digest] = [await treeDigest(there), await treeDigest(tree)];
    const counts = { written: put.size, removed: remove.length };
    const { seq } = await note({ type: "mount-write", mount: ref.path, previous, digest, ...counts });
    let failed: Failure[] = [];
    let error: VakError | undefined;
    try {
      failed = await inTime(`the mount /${path}`, source.write!({ remove, put, tree, labels: files.labels() }));
    } catch (cause) {
      error = refusal(`the mount /${path}`, cause);
    }
    failures.push(...failed);
    const wrong = error?.message ?? (failed.length > 0 ? told(path, failed) : undefined);
    const message = wrong?.slice(0, MAX_MESSAGE).toWellFormed() ?? null;
    await note({ type: "mount-written", writeOf: seq, status: message === null ? "ok" : "error", message });
    if (error) throw error;
    const missed = new Set(failed.map(({ path }) => path));
    for (const below of remove) if (!missed.has(below)) base.delete(below);
    for (const below of paths) if (!missed.has(below)) base.set(below, own.get(below)!);
  }
  if (failures.length === 0) return;
  const code = failures.some(({ conflict }) => conflict) ? "files-conflict" : "files-unavailable";
  throw new VakError(code, told(path, failures));
}

/** A tree once a plan is carried out. */
function changed(tree: Tree, { remove, put }: { remove: readonly string[]; put: readonly string[] }, from: Tree): Tree {
  const next = new Map<string, Item>(tree);
  for (const path of remove) next.delete(path);
  for (const path of put) next.set(path, from.get(path)!);
  return next;
}

function told(path: string, failures: readonly { path: string; why: string }[]): string {
  const names = failures.slice(0, MAX_NAMES).map(({ path, why }) => `${JSON.stringify(path)} (${why})`);
  const more = failures.length > MAX_NAMES ? ` and ${failures.length - MAX_NAMES} more` : "";
  return (
    `Of the mount /${path} were not written: ${names.join(", ")}${more}. ` +
    "What is there stays, and the agent keeps its own: make the two alike, or remove one."
  );
}

const inTime = <T>(where: string, work: Promise<T>): Promise<T> =>
  within(PATIENCE, work, () => unavailable(`${where} did not answer for ${PATIENCE} ms.`));
