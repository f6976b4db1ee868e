import { transfer } from "comlink";
import { isDigest } from "../base/guards.ts";
import { lazy } from "../base/lazy.ts";
import { VakError } from "../errors.ts";
import type { Files, Note } from "../files/mounts.ts";
import type { FileChange } from "../files/watch.ts";
import { checkLabels, joinLabels } from "../labels.ts";
import type { Limits } from "../limits.ts";
import type { FileStat, SandboxApi, SeedFile, TreeDetail, TreeEntry } from "../protocol/messages.ts";
import { parseFile, parseFileList, parseFileStat, parseTree } from "../protocol/parse.ts";
import { type Host, WorkerLost } from "../worker/host.ts";
import type { Parts } from "./parts.ts";
import type { Recorder } from "./recorder.ts";

const encoder = new TextEncoder();

/** An agent's own files, as the page sees them. Paths are relative to the root: `"out/result.txt"`. */
export class AgentFiles {
  private readonly parts: Parts;
  private readonly host: Host;
  private readonly limits: Limits;
  private readonly recorder: Recorder;
  private readonly join: (labels: readonly string[]) => Promise<unknown>;
  private readonly explain: (error: unknown) => VakError;
  private readonly isBusy: () => boolean;
  /** Those who look at the files, told when there may be something new. */
  private readonly watchers = new Set<() => void>();
  private released: Promise<void> | undefined;

  /**
   * @internal
   * @param join labels the agent
   * @param isBusy whether a run is under way
   */
  constructor(parts: Parts, join: AgentFiles["join"], explain: AgentFiles["explain"], isBusy: AgentFiles["isBusy"]) {
    this.parts = parts;
    this.join = join;
    this.host = parts.host;
    this.limits = parts.limits;
    this.recorder = parts.recorder;
    this.explain = explain;
    this.isBusy = isBusy;
  }

  /** @throws VakError `not-found`, `closed`, `agent-lost` */
  async read(path: string): Promise<Uint8Array<ArrayBuffer>> {
    const file = parseFile(await this.call("readFile", checkPath(path)), this.limits);
    if (file === null) throw notFound(path);
    return file ?? this.garbage();
  }

  /** The file as UTF-8 text. */
  async text(path: string): Promise<string> {
    return new TextDecoder().decode(await this.read(path));
  }

  /**
   * Writes a whole file, making the directories above it.
   *
   * @param options.labels what the data is labelled: the agent is from here on, whether it reads the file or not
   * @throws VakError `invalid-argument` when it does not fit the limits, the path is taken, or in a read-only mount
   */
  async write(
    path: string,
    data: string | BufferSource,
    { labels = [] }: { labels?: readonly string[] } = {},
  ): Promise<void> {
    const bytes = toBytes(data);
    const checked = this.checkWritable(path);
    // In one turn: no call that knows the file is decided without its labels.
    const labelled = this.join(checkLabels(labels, "a file"));
    await Promise.all([labelled, this.put(checked, bytes)]);
  }

  /**
   * Copies a file to another agent, which is labelled as this one then.
   *
   * @param to the files of the other agent, of any kernel of this page
   * @param as its path there; the same unless given
   * @throws VakError as {@link read} and {@link write}
   * @example await writer.files.copy("summary.txt", mailer.files);
   */
  async copy(path: string, to: AgentFiles, as: string = path): Promise<void> {
    const before = this.parts.labels.list;
    const bytes = await this.read(path);
    // What was declassified meanwhile may be in the bytes still.
    await to.write(as, bytes, { labels: joinLabels(before, this.parts.labels.list) });
  }

  /** Every file, directory and symbolic link, in order of path. */
  async list(): Promise<FileStat[]> {
    return parseFileList(await this.call("listFiles"), this.limits) ?? this.garbage();
  }

  /**
   * What a path names; of a symbolic link, the link itself. Its labels are the agent's: which of the things that it read
   * a program wrote into which file, only the program knows.
   *
   * @throws VakError `not-found`, `closed`, `agent-lost`
   */
  async stat(path: string): Promise<FileStat & { labels: readonly string[] }> {
    const reply = await this.call("statFile", checkPath(path));
    if (reply === null) throw notFound(path);
    const stat = parseFileStat(reply, this.limits) ?? this.garbage();
    return { ...stat, labels: this.parts.labels.list };
  }

  /**
   * The SHA-256, hex, of the whole tree: of paths, contents and where links lead, not of times. Two agents with the same
   * files have the same. The worker computes it: where its word is not enough, {@link export} and compare.
   */
  async snapshot(): Promise<string> {
    const digest = await this.call("snapshot");
    return isDigest(digest) ? digest : this.garbage();
  }

  /**
   * A zip of the files and directories. Symbolic links are left out: where one leads is the program's to say, and an
   * unpacker might follow it. The names are the program's too, and all of it is labelled as the agent is.
   *
   * @throws VakError `unsupported` past 65,535 files; `closed`, `agent-lost`
   */
  async export(): Promise<Blob> {
    const { zipFiles } = await import("../audit/bundle.ts");
    return zipFiles(this.each());
  }

  private async *each() {
    for (const { path, type } of await this.list()) {
      if (type === "directory") yield { path: `${path}/`, bytes: new Uint8Array() };
      if (type === "file") yield { path, bytes: await this.read(path) };
    }
  }

  /**
   * Removes a file, a symbolic link or an empty directory; false when there is none.
   *
   * @throws VakError `invalid-argument` in a read-only mount, or of a directory that is not empty
   */
  async remove(path: string): Promise<boolean> {
    return this.take(this.checkWritable(path));
  }

  /**
   * Writes what the agent has changed in its mounts to what keeps them, as it is done after each run.
   *
   * @throws VakError `files-conflict`, `files-denied`, `files-in-use`, `files-unavailable`; `agent-busy` during a run;
   *   `log-unavailable`, `closed`, `agent-lost`
   */
  async save(): Promise<void> {
    if (this.isBusy()) {
      throw new VakError(
        "agent-busy",
        "The agent is running; what it leaves in its mounts is written when it has ended.",
      );
    }
    const failed = await this.saveMounts();
    if (failed) throw failed;
  }

  /**
   * Tells what changes from here on, until the signal aborts or the agent is closed. It looks when the page has changed
   * something, ten times a second while a run is at work, and at its end. Who is slow to ask misses what came and went
   * meanwhile, and nothing is kept for them but one list of the files.
   *
   * @throws VakError `agent-lost`
   * @example
   * for await (const { path, change } of agent.files.watch({ signal })) show(`${change}: ${path}`);
   */
  watch({ signal }: { signal?: AbortSignal } = {}): AsyncGenerator<FileChange, void> {
    const first = this.look();
    first.catch(() => {});
    return this.watching(first, signal);
  }

  private async *watching(first: Promise<TreeEntry[]>, signal: AbortSignal | undefined) {
    const { watchTree } = await lazy(import("../files/watch.ts"));
    yield* watchTree({
      ...{ first, signal, isBusy: this.isBusy },
      look: () => this.look(),
      listen: (told) => {
        this.watchers.add(told);
        return () => this.watchers.delete(told);
      },
    });
  }

  /** All files with their revisions, those of mounts too. */
  private async look(): Promise<TreeEntry[]> {
    const mounted = (this.parts.mounts?.shapes ?? []).filter(({ path }) => path !== "");
    const roots = ["", ...mounted.map(({ path }) => path)];
    const trees = await Promise.all(roots.map((root) => this.tree(root, "revisions")));
    return trees.flatMap((tree, i) =>
      (tree ?? []).map((entry) => ({ ...entry, path: i === 0 ? entry.path : `${roots[i]}/${entry.path}` })),
    );
  }

  /** @internal A run is under way. */
  began(result: Promise<unknown>): void {
    this.touched();
    result.then(() => this.touched());
  }

  /** @internal The worker is no more: what keeps the mounts is free for others. */
  ended(): Promise<void> {
    this.touched();
    this.released ??= this.parts.mounts?.release() ?? Promise.resolve();
    return this.released;
  }

  /** @internal Why what keeps the mounts could not be read. */
  async loadMounts(): Promise<VakError | undefined> {
    return failureOf(this.parts.mounts?.load(this.mounted, (entry) => this.note(entry)));
  }

  /** @internal Why not all could be written. */
  async saveMounts(): Promise<VakError | undefined> {
    return failureOf(this.parts.mounts?.save(this.mounted, (entry) => this.note(entry)));
  }

  /** @internal What is below a directory, but in its mounts; null where there is none. */
  async tree(path: string, detail: TreeDetail): Promise<TreeEntry[] | null> {
    const tree = parseTree(await this.call("tree", path, detail), this.limits, detail);
    return tree === undefined ? this.garbage() : tree;
  }

  private readonly mounted: Files = {
    tree: (path) => this.tree(path, "digests"),
    read: (path) => this.read(path),
    put: (path, file) => this.put(path, file),
    labels: () => this.parts.labels.list,
    label: (labels) => this.join(labels),
    // What cannot be removed, such as a directory that has got something else in it, stays.
    remove: async (path) => {
      await this.take(path).catch((error: VakError) => {
        if (error.code !== "invalid-argument") throw error;
      });
    },
  };

  private async note(entry: Parameters<Note>[0]): Promise<{ seq: number }> {
    const { log, ref, rights } = this.parts;
    if (entry.type === "mount-write" && rights.revoked) {
      throw new VakError("files-denied", "The agent's rights were taken away: nothing of it is written elsewhere.");
    }
    return log.append({ ...entry, agent: ref });
  }

  private checkWritable(path: string): string {
    const checked = checkPath(path);
    if (!this.parts.mounts?.isReadOnly(checked)) return checked;
    throw new VakError("invalid-argument", `${JSON.stringify(path)} is in a read-only mount; change what keeps it.`);
  }

  private async put(path: string, file: SeedFile): Promise<void> {
    this.recorder.change(path, file);
    await this.call("writeFile", path, file instanceof Uint8Array ? transfer(file, [file.buffer]) : file);
    this.touched();
  }

  private async take(path: string): Promise<boolean> {
    this.recorder.change(path, null);
    const removed = await this.call("removeFile", path);
    this.touched();
    return typeof removed === "boolean" ? removed : this.garbage();
  }

  private touched(): void {
    for (const tell of this.watchers) tell();
  }

  private async call<Name extends keyof SandboxApi>(
    name: Name,
    ...args: Parameters<SandboxApi[Name]>
  ): Promise<unknown> {
    try {
      return await this.host.call(name, ...args);
    } catch (error) {
      throw this.explain(error);
    }
  }

  private garbage(): never {
    this.host.lose("the worker answered with what is not of the protocol");
    throw this.explain(new WorkerLost("the worker answered with what is not of the protocol"));
  }
}

async function failureOf(work: Promise<void> | undefined): Promise<VakError | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof VakError && /^files-|^log-/.test(error.code)) return error;
    const message = `The agent's mounts could not be read or written: ${(error as Error).message}`;
    return new VakError("files-unavailable", message, { cause: error });
  }
}

const notFound = (path: string): VakError =>
  new VakError("not-found", `The agent has no file ${JSON.stringify(path)}.`);

/** @throws VakError `invalid-argument` for a path that no guest could name */
export function checkPath(path: string): string {
  const parts = typeof path === "string" ? path.replace(/^\//, "").split("/") : [""];
  const bad = parts.some((part) => part === "" || part === "." || part === ".." || part.includes("\0"));
  if (bad || parts[0] === "dev" || !path.isWellFormed()) {
    throw new VakError(
      "invalid-argument",
      `${JSON.stringify(path)} is not a path of an agent's file: write it as "a/b.txt", without "..", and outside dev/.`,
    );
  }
  return parts.join("/");
}

/** A copy of the bytes, or the text as UTF-8. */
export function toBytes(data: string | BufferSource): Uint8Array<ArrayBuffer> {
  if (typeof data === "string") return encoder.encode(data);
  const view = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : data;
  return new Uint8Array(view as ArrayBuffer).slice();
}
