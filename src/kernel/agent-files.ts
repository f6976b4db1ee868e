/** An agent's files, as the page reads, writes, watches and exports them. */
import { lazy } from "../base/lazy.ts";
import { checkSignal } from "../base/signal.ts";
import { VakError } from "../errors.ts";
import type { FileChange } from "../files/watch.ts";
import { checkLabels, joinLabels } from "../labels.ts";
import type { FileStat, TreeDetail, TreeEntry } from "../protocol/messages.ts";
import type { AgentContext } from "./agent-context.ts";
import { AgentMounts } from "./agent-mounts.ts";
import { checkPath } from "./file-path.ts";
import { toBytes } from "./own-bytes.ts";
import { WorkerFiles } from "./worker-files.ts";

/** Paths are relative to the root: `"out/result.txt"`. */
export class AgentFiles {
  /** @internal */
  readonly mounts: AgentMounts;
  readonly #context: AgentContext;
  readonly #files: WorkerFiles;
  readonly #join: (labels: readonly string[]) => Promise<unknown>;
  readonly #isBusy: () => boolean;

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
    this.#files = new WorkerFiles(context, explain);
    this.mounts = new AgentMounts(context, this.#files, join);
    this.#join = join;
    this.#isBusy = isBusy;
  }

  /** @throws VakError `not-found`, `closed`, `agent-lost` */
  async read(path: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.#files.read(checkPath(path));
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
    await Promise.all([labelled, this.#files.put(checked, bytes)]);
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
    const before = this.#context.taint.list;
    const bytes = await this.read(path);
    // What was declassified meanwhile may still be in the bytes.
    await to.write(as, bytes, { labels: joinLabels([before, this.#context.taint.list]) });
  }

  /** Every file, directory and symbolic link, ordered by path. */
  async list(): Promise<FileStat[]> {
    return this.#files.list();
  }

  /**
   * What a path names; for a symbolic link, the link itself. Its labels are the agent's: only the program knows what of
   * all that it read it wrote into which file.
   *
   * @throws VakError `not-found`, `closed`, `agent-lost`
   */
  async stat(path: string): Promise<FileStat & { labels: readonly string[] }> {
    const stat = await this.#files.stat(checkPath(path));
    return { ...stat, labels: this.#context.taint.list };
  }

  /**
   * The SHA-256, hex, of the whole tree: paths, contents and targets of links, but not times. Agents with the same
   * files have the same snapshot. The worker computes it: where you do not trust that, {@link export} and compare.
   */
  async snapshot(): Promise<string> {
    return this.#files.snapshot();
  }

  /**
   * A zip of the files and directories. Symbolic links are left out: the program chose their targets, and an unpacker
   * might follow them. The program chose the names too, and the zip has the agent's labels.
   *
   * @throws VakError `unsupported` past 65,535 files; `closed`, `agent-lost`
   */
  async export(): Promise<Blob> {
    const { zipFiles } = await import("../audit/bundle-writing.ts");
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
    return this.#files.remove(this.#checkWritable(path));
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
    const failed = await this.mounts.save();
    if (failed) throw failed;
  }

  /**
   * Reports what changes from here on, until the signal aborts or the agent is closed. It looks when the page has
   * changed something, ten times a second during a run, and at its end. A slow reader misses what came and went
   * meanwhile: nothing is kept for it but one list of the files.
   *
   * @throws VakError `invalid-argument`, `agent-lost`
   * @example
   * for await (const { path, change } of agent.files.watch({ signal })) show(`${change}: ${path}`);
   */
  watch({ signal }: { signal?: AbortSignal } = {}): AsyncGenerator<FileChange, void> {
    checkSignal(signal);
    const first = this.#look();
    first.catch(() => {});
    return this.#watching(first, signal);
  }

  async *#watching(first: Promise<TreeEntry[]>, signal: AbortSignal | undefined) {
    const { watchTree } = await lazy(import("../files/watch.ts"));
    yield* watchTree({
      ...{ first, signal, isBusy: this.#isBusy },
      look: () => this.#look(),
      listen: (changed) => {
        this.#files.watchers.add(changed);
        return () => this.#files.watchers.delete(changed);
      },
    });
  }

  /** All files with their revisions, including those of mounts. */
  async #look(): Promise<TreeEntry[]> {
    const mounted = this.mounts.shapes.filter(({ path }) => path !== "");
    const roots = ["", ...mounted.map(({ path }) => path)];
    const trees = await Promise.all(roots.map((root) => this.tree(root, "revisions")));
    return trees.flatMap((tree, i) =>
      (tree ?? []).map((entry) => ({ ...entry, path: i === 0 ? entry.path : `${roots[i]}/${entry.path}` })),
    );
  }

  /** @internal A run is under way. */
  began(result: Promise<unknown>): void {
    this.#files.touched();
    result.then(() => this.#files.touched());
  }

  /** @internal The worker has ended: others may have the sources of the mounts. */
  ended(): Promise<void> {
    this.#files.touched();
    return this.mounts.release();
  }

  /** @internal What is below a directory, except in mounts; null where there is no such directory. */
  async tree(path: string, detail: TreeDetail): Promise<TreeEntry[] | null> {
    return this.#files.tree(path, detail);
  }

  #checkWritable(path: string): string {
    const checked = checkPath(path);
    if (!this.mounts.isReadOnly(checked)) return checked;
    throw new VakError(
      "invalid-argument",
      `${JSON.stringify(path)} is in a read-only mount; change it where it is kept.`,
    );
  }
}
