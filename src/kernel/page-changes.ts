/** What the page changes in an agent's files, in order, until the trace of a run takes it. */
import { MAX_CHANGES } from "../protocol/bounds.ts";
import type { Point, SeedFile } from "../protocol/messages.ts";
import { type Change, TRACE_BYTES } from "../protocol/trace.ts";
import { base64Length } from "../protocol/trace-json.ts";

/** Approximate bytes of JSON that a change takes in a trace, besides its data and path. */
const CHANGE_BYTES = 64;

const lengthOf = (data: SeedFile | null): number => (data instanceof Uint8Array ? base64Length(data.byteLength) : 0);

/** A replay has to make every one of them: once one is missing, no later run of the agent can be replayed. */
export class PageChanges {
  #broken: string | undefined;
  #changes: Omit<Change, "at">[] = [];
  /** Changes that wait or that parts of the current trace have taken; and their bytes of JSON, about. */
  #count = 0;
  #bytes = 0;

  /** Why no run of the agent is traced from here on. */
  get broken(): string | undefined {
    return this.#broken;
  }

  /** Must be called before the page changes a file. @param data is copied; null removes the file */
  add(path: string, data: SeedFile | null): void {
    if (this.#broken !== undefined) return;
    this.#bytes += lengthOf(data);
    if (this.#count++ === MAX_CHANGES) this.break(`the page changed more than ${MAX_CHANGES} files between two runs`);
    else if (this.#bytes > TRACE_BYTES) this.break("the files that the page wrote are larger than a trace may be");
    else this.#changes.push({ path, data: data instanceof Uint8Array ? data.slice() : data });
  }

  break(why: string): void {
    this.#broken ??= why;
    this.#changes = [];
  }

  /** How many wait for a trace. */
  get waiting(): number {
    return this.#changes.length;
  }

  /** Approximate bytes of JSON of `count` of them, from index `from`. */
  bytesOf(from: number, count: number): number {
    const bytes = ({ path, data }: Omit<Change, "at">) => CHANGE_BYTES + path.length + lengthOf(data);
    return this.#changes.slice(from, from + count).reduce((sum, change) => sum + bytes(change), 0);
  }

  /** Takes the first `before`, and after them those that a run met at `points`. */
  take(before: number, points: readonly Point[]): Change[] {
    const taken = this.#changes.splice(0, before + points.length);
    return taken.map((change, i) => ({ ...change, at: points[i - before] ?? null }));
  }

  /** A trace is complete: what still waits is for the next one. */
  next(): void {
    this.#count = this.#changes.length;
    this.#bytes = this.#changes.reduce((sum, { data }) => sum + lengthOf(data), 0);
  }
}
