/** Reads an agent's mounts before a run and writes them back after it, within the agent's rights and labels. */
import { errorText } from "../base/error-text.ts";
import { VakError } from "../errors.ts";
import type { Files, Note } from "../files/sync.ts";
import type { MountShape } from "../protocol/messages.ts";
import type { AgentContext } from "./agent-context.ts";
import type { WorkerFiles } from "./worker-files.ts";

export class AgentMounts {
  readonly #context: AgentContext;
  readonly #files: Files;
  #released: Promise<void> | undefined;

  /** @param join labels the agent */
  constructor(context: AgentContext, files: WorkerFiles, join: (labels: readonly string[]) => Promise<unknown>) {
    this.#context = context;
    this.#files = {
      tree: (path) => files.tree(path, "digests"),
      read: (path) => files.read(path),
      put: (path, file) => files.put(path, file),
      labels: () => context.taint.list,
      label: join,
      // What cannot be removed stays, such as a directory that holds something new.
      remove: async (path) => {
        await files.remove(path).catch((error: VakError) => {
          if (error.code !== "invalid-argument") throw error;
        });
      },
    };
  }

  get shapes(): readonly MountShape[] {
    return this.#context.mounts?.shapes ?? [];
  }

  isReadOnly(path: string): boolean {
    return this.#context.mounts?.isReadOnly(path) ?? false;
  }

  /** Resolves with the reason why they could not be read, if so. */
  load(): Promise<VakError | undefined> {
    return failureOf(this.#context.mounts?.load(this.#files, (entry) => this.#note(entry)));
  }

  /** Resolves with the reason why not everything could be written back, if so. */
  save(): Promise<VakError | undefined> {
    return failureOf(this.#context.mounts?.save(this.#files, (entry) => this.#note(entry)));
  }

  /** Lets others use the sources of the mounts. */
  release(): Promise<void> {
    this.#released ??= this.#context.mounts?.release() ?? Promise.resolve();
    return this.#released;
  }

  async #note(entry: Parameters<Note>[0]): Promise<{ seq: number }> {
    const { log, ref, rights } = this.#context;
    if (entry.type === "mount-write" && rights.revoked) {
      throw new VakError("files-denied", "The agent's rights were revoked: nothing that it wrote is written back.");
    }
    return log.append({ ...entry, agent: ref });
  }
}

async function failureOf(work: Promise<void> | undefined): Promise<VakError | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof VakError && /^files-|^log-/.test(error.code)) return error;
    const message = `The agent's mounts could not be read or written: ${errorText(error)}`;
    return new VakError("files-unavailable", message, { cause: error });
  }
}
