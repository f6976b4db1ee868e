import { MAX_CHANGES, type Point } from "../protocol.ts";
import { base64Length, type Change, TRACE_BYTES } from "../trace.ts";

/**
 * The changes that the page makes to an agent's files, in order, until a trace takes them. A replay has to make every one
 * of them: where one is missing, no later run of the agent can be replayed.
 */
export class Journal {
  /** Why no run of the agent is traced from here on. */
  broken: string | undefined;
  private changes: Omit<Change, "at">[] = [];
  private bytes = 0;

  /** @param data is not copied */
  add(path: string, data: Uint8Array | null): void {
    if (this.broken !== undefined) return;
    this.bytes += base64Length(data?.byteLength ?? 0);
    this.changes.push({ path, data });
    if (this.changes.length > MAX_CHANGES)
      this.break(`the page changed more than ${MAX_CHANGES} files between two runs`);
    else if (this.bytes > TRACE_BYTES) this.break("the files that the page wrote are larger than a trace may be");
  }

  break(why: string): void {
    this.broken ??= why;
    this.changes = [];
  }

  /** How many changes there are. */
  get length(): number {
    return this.changes.length;
  }

  /** Takes the first `count` changes, which a run met before it began, and those that it met at `points`. */
  take(count: number, points: readonly Point[]): Change[] {
    const taken = this.changes.splice(0, count + points.length);
    this.bytes = this.changes.reduce((sum, { data }) => sum + base64Length(data?.byteLength ?? 0), 0);
    return taken.map((change, i) => ({ ...change, at: points[i - count] ?? null }));
  }
}
