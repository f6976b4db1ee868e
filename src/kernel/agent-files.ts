/** An agent's files, as the page sees them: each operation is a call to the agent's worker, whose answer is checked. */
import { transfer } from "comlink";
import { isDigest } from "../base/guards.ts";
import { lazy } from "../base/lazy.ts";
import { VakError } from "../errors.ts";
import type { Files, Note } from "../files/sync.ts";
import type { FileChange } from "../files/watch.ts";
import { checkLabels, joinLabels } from "../labels.ts";
import type { Limits } from "../limits.ts";
import type { FileStat, SandboxApi, SeedFile, TreeDetail, TreeEntry } from "../protocol/messages.ts";
import { parseFile, parseFileList, parseFileStat, parseTree } from "../protocol/parse.ts";
import { type Host, OFF_PROTOCOL, WorkerLost } from "../worker/host.ts";
import type { AgentContext } from "./agent-context.ts";
import { checkPath, toBytes } from "./first-files.ts";
import type { PageChanges } from "./page-changes.ts";

/** Paths are relative to the root: `"out/result.txt"`. */
export class AgentFiles {
  readonly #context: AgentContext;
  readonly #host: Host;
  readonly #limits: Limits;
  readonly #changes: PageChanges;
  readonly #join: (labels: readonly string[]) => Promise<unknown>;
  readonly #explain: (error: unknown) => VakError;
  readonly #isBusy: () => boolean;
  /** Called when the files may have changed. */
  readonly #watchers = new Set<() => void>();
  #released: Promise<void> | undefined;

  /**
   * @internal
   * @param join labels the agent
   * @param explain turns a refusal by the worker into an error for the page
   * @param isBusy whether a run is under way
   */
  constructor(
    context: AgentContext,
    join: (labels: readonly string[]) => Promise<unknown>,
    explain: (error: unknown) => VakError,
    isBusy: () => boolean,
  ) {
    this.#context = context;
    this.#join = join;
    this.#host = context.host;
    this.#limits = context.limits;
    this.#changes = context.recorder.changes;
    this.#explain = explain;
    this.#isBusy = isBusy;
  }

  /** @throws VakError `not-found`, `closed`, `agent-lost` */
  async read(path: string): Promise<Uint8Array<ArrayBuffer>> {
    const file = parseFile(await this.#call("readFile", checkPath(path)), this.#limits);
    if (file === null) throw notFound(path);
    return file ?? this.#garbage();
  }

  /** The file as UTF-8 text. */
  async text(path: string): Promise<string> {
    return new TextDecoder().decode(await this.read(path));
  }

  /**
   * Writes a whole file, making the directories above it.
   *
   * @param options.labels labels of the data: the agent has them from here on, whether it reads the file or not
   * @throws VakError `invalid-argument` when it does not fit the limits, the path is taken, or in a read-only mount
   */
  async write(
    path: string,
    data: string | BufferSource,
    { labels = [] }: { labels?: readonly string[] } = {},
  ): Promise<void> {
    const bytes = toBytes(data);
    const checked = this.#checkWritable(path);
    // Synchronously: no call that knows the file is decided without its labels.
    const labelled = this.#join(checkLabels(labels, "a file"));
    await Promise.all([labelled, this.#put(checked, bytes)]);
  }

  /**
   * Copies a file to another agent, which gets this agent's labels.
   *
   * @param to the files of the other agent, of any kernel of this page
   * @param as its path there; by default the same
   * @throws VakError as {@link read} and {@link write}
   * @example await writer.files.copy("summary.txt", mailer.files);
   */
  async copy(path: string, to: AgentFiles, as: string = path): Promise<void> {
    const before = this.#context.labels.list;
    const bytes = await this.read(path);
    // What was declassified meanwhile may still be in the bytes.
    await to.write(as, bytes, { labels: joinLabels(before, this.#context.labels.list) });
  }

  /** Every file, directory and symbolic link, ordered by path. */
  async list(): Promise<FileStat[]> {
    return parseFileList(await this.#call("listFiles"), this.#limits) ?? this.#garbage();
  }

  /**
   * What a path names; for a symbolic link, the link itself. Its labels are the agent's: only the program knows what of all
   * that it read it wrote into which file.
   *
   * @throws VakError `not-found`, `closed`, `agent-lost`
   */
  async stat(path: string): Promise<FileStat & { labels: readonly string[] }> {
    const reply = await this.#call("statFile", checkPath(path));
    if (reply === null) throw notFound(path);
    const stat = parseFileStat(reply, this.#limits) ?? this.#garbage();
    return { ...stat, labels: this.#context.labels.list };
  }

  /**
   * The SHA-256, hex, of the whole tree: paths, contents and targets of links, but not times. Agents with the same files
   * have the same snapshot. The worker computes it: where you do not trust that, {@link export} and compare.
   */
  async snapshot(): Promise<string> {
    const digest = await this.#call("snapshot");
    return isDigest(digest) ? digest : this.#garbage();
  }

  /**
   * A zip of the files and directories. Symbolic links are left out: the program chose their targets, and an unpacker might
   * follow them. The program chose the names too, and the zip has the agent's labels.
   *
   * @throws VakError `unsupported` past 65,535 files; `closed`, `agent-lost`
   */
  async export(): Promise<Blob> {
    const { zipFiles } = await import("../audit/bundle.ts");
    return zipFiles(this.#each());
  }

  async *#each() {
    for (const { path, type } of await this.list()) {
      if (type === "directory") yield { path: `${path}/`, bytes: new Uint8Array() };
      if (type === "file") yield { path, bytes: await this.read(path) };
    }
  }

  /**
   * Removes a file, a symbolic link or an empty directory; false when there was none.
   *
   * @throws VakError `invalid-argument` in a read-only mount, or for a directory that is not empty
   */
  async remove(path: string): Promise<boolean> {
    return this.#take(this.#checkWritable(path));
  }

  /**
   * Writes what the agent has changed in its mounts back to where they are kept, as happens after each run.
   *
   * @throws VakError `files-conflict`, `files-denied`, `files-in-use`, `files-unavailable`; `agent-busy` during a run;
   *   `log-unavailable`, `closed`, `agent-lost`
   */
  async save(): Promise<void> {
    if (this.#isBusy()) {
      throw new VakError("agent-busy", "The agent is running; its mounts are written back when the run has ended.");
    }
    const failed = await this.saveMounts();
    if (failed) throw failed;
  }

  /**
   * Reports what changes from here on, until the signal aborts or the agent is closed. It looks when the page has changed
   * something, ten times a second during a run, and at its end. A slow reader misses what came and went meanwhile: nothing
   * is kept for it but one list of the files.
   *
   * @throws VakError `agent-lost`
   * @example
   * for await (const { path, change } of agent.files.watch({ signal })) show(`${change}: ${path}`);
   */
  watch({ signal }: { signal?: AbortSignal } = {}): AsyncGenerator<FileChange, void> {
    const first = this.#look();
    first.catch(() => {});
    return this.#watching(first, signal);
  }

  async *#watching(first: Promise<TreeEntry[]>, signal: AbortSignal | undefined) {
    const { watchTree } = await lazy(import("../files/watch.ts"));
    yield* watchTree({
      ...{ first, signal, isBusy: this.#isBusy },
      look: () => this.#look(),
      listen: (told) => {
        this.#watchers.add(told);
        return () => this.#watchers.delete(told);
      },
    });
  }

  /** All files with their revisions, including those of mounts. */
  async #look(): Promise<TreeEntry[]> {
    const mounted = (this.#context.mounts?.shapes ?? []).filter(({ path }) => path !== "");
    const roots = ["", ...mounted.map(({ path }) => path)];
    const trees = await Promise.all(roots.map((root) => this.tree(root, "revisions")));
    return trees.flatMap((tree, i) =>
      (tree ?? []).map((entry) => ({ ...entry, path: i === 0 ? entry.path : `${roots[i]}/${entry.path}` })),
    );
  }

  /** @internal A run is under way. */
  began(result: Promise<unknown>): void {
    this.#touched();
    result.then(() => this.#touched());
  }

  /** @internal The worker has ended: others may have what the mounts are kept in. */
  ended(): Promise<void> {
    this.#touched();
    this.#released ??= this.#context.mounts?.release() ?? Promise.resolve();
    return this.#released;
  }

  /** @internal Resolves with the reason why the mounts could not be read, if so. */
  async loadMounts(): Promise<VakError | undefined> {
    return failureOf(this.#context.mounts?.load(this.#mounted, (entry) => this.#note(entry)));
  }

  /** @internal Resolves with the reason why not everything could be written back, if so. */
  async saveMounts(): Promise<VakError | undefined> {
    return failureOf(this.#context.mounts?.save(this.#mounted, (entry) => this.#note(entry)));
  }

  /** @internal What is below a directory, except in mounts; null where there is no such directory. */
  async tree(path: string, detail: TreeDetail): Promise<TreeEntry[] | null> {
    const tree = parseTree(await this.#call("tree", path, detail), this.#limits, detail);
    return tree === undefined ? this.#garbage() : tree;
  }

  readonly #mounted: Files = {
    tree: (path) => this.tree(path, "digests"),
    read: (path) => this.read(path),
    put: (path, file) => this.#put(path, file),
    labels: () => this.#context.labels.list,
    label: (labels) => this.#join(labels),
    // What cannot be removed stays, such as a directory that holds something new.
    remove: async (path) => {
      await this.#take(path).catch((error: VakError) => {
        if (error.code !== "invalid-argument") throw error;
      });
    },
  };

  async #note(entry: Parameters<Note>[0]): Promise<{ seq: number }> {
    const { log, ref, rights } = this.#context;
    if (entry.type === "mount-write" && rights.revoked) {
      throw new VakError("files-denied", "The agent's rights were revoked: nothing that it wrote is written back.");
    }
    return log.append({ ...entry, agent: ref });
  }

  #checkWritable(path: string): string {
    const checked = checkPath(path);
    if (!this.#context.mounts?.isReadOnly(checked)) return checked;
    throw new VakError(
      "invalid-argument",
      `${JSON.stringify(path)} is in a read-only mount; change it where it is kept.`,
    );
  }

  async #put(path: string, file: SeedFile): Promise<void> {
    this.#changes.add(path, file);
    await this.#call("writeFile", path, file instanceof Uint8Array ? transfer(file, [file.buffer]) : file);
    this.#touched();
  }

  async #take(path: string): Promise<boolean> {
    this.#changes.add(path, null);
    const removed = await this.#call("removeFile", path);
    this.#touched();
    return typeof removed === "boolean" ? removed : this.#garbage();
  }

  #touched(): void {
    for (const tell of this.#watchers) tell();
  }

  async #call<Name extends keyof SandboxApi>(name: Name, ...args: Parameters<SandboxApi[Name]>): Promise<unknown> {
    try {
      return await this.#host.call(name, ...args);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  #garbage(): never {
    this.#host.lose(OFF_PROTOCOL);
    throw this.#explain(new WorkerLost(OFF_PROTOCOL));
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
