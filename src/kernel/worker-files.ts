/** An agent's files in its worker: every answer is checked, and every change is recorded before it is made. */
import { transfer } from "comlink";
import { isDigest } from "../base/guards.ts";
import { VakError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { FileStat, SandboxApi, SeedFile, TreeDetail, TreeEntry } from "../protocol/messages.ts";
import { parseFile, parseFileList, parseFileStat, parseTree } from "../protocol/parse.ts";
import { type Host, OFF_PROTOCOL, WorkerLost } from "../worker/host.ts";
import type { AgentContext } from "./agent-context.ts";
import type { PageChanges } from "./page-changes.ts";

/** Paths are those that `checkPath` returns. */
export class WorkerFiles {
  readonly #host: Host;
  readonly #limits: Limits;
  readonly #changes: PageChanges;
  readonly #explain: (error: unknown) => VakError;
  /** Called when the files may have changed. */
  readonly watchers = new Set<() => void>();

  /** @param explain turns a refusal by the worker into an error for the page */
  constructor({ host, limits, recorder }: AgentContext, explain: (error: unknown) => VakError) {
    this.#host = host;
    this.#limits = limits;
    this.#changes = recorder.changes;
    this.#explain = explain;
  }

  /** @throws VakError `not-found`, `closed`, `agent-lost` */
  async read(path: string): Promise<Uint8Array<ArrayBuffer>> {
    const file = parseFile(await this.#call("readFile", path), this.#limits);
    if (file === null) throw notFound(path);
    return file ?? this.#garbage();
  }

  /** @throws VakError `not-found`, `closed`, `agent-lost` */
  async stat(path: string): Promise<FileStat> {
    const reply = await this.#call("statFile", path);
    if (reply === null) throw notFound(path);
    return parseFileStat(reply, this.#limits) ?? this.#garbage();
  }

  async list(): Promise<FileStat[]> {
    return parseFileList(await this.#call("listFiles"), this.#limits) ?? this.#garbage();
  }

  async snapshot(): Promise<string> {
    const digest = await this.#call("snapshot");
    return isDigest(digest) ? digest : this.#garbage();
  }

  /** What is below a directory, except in mounts; null where there is no such directory. */
  async tree(path: string, detail: TreeDetail): Promise<TreeEntry[] | null> {
    const tree = parseTree(await this.#call("tree", path, detail), this.#limits, detail);
    return tree === undefined ? this.#garbage() : tree;
  }

  /** @param file whose buffer is given away */
  async put(path: string, file: SeedFile): Promise<void> {
    this.#changes.add(path, file);
    await this.#call("writeFile", path, file instanceof Uint8Array ? transfer(file, [file.buffer]) : file);
    this.touched();
  }

  /** False when there was nothing at the path. */
  async remove(path: string): Promise<boolean> {
    this.#changes.add(path, null);
    const removed = await this.#call("removeFile", path);
    this.touched();
    return typeof removed === "boolean" ? removed : this.#garbage();
  }

  /** Makes the watchers look. */
  touched(): void {
    for (const look of this.watchers) look();
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

const notFound = (path: string): VakError =>
  new VakError("not-found", `The agent has no file ${JSON.stringify(path)}.`);
