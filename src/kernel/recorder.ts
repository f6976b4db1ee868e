/** Records what an agent takes in from outside, for the traces of its runs (see `protocol/trace.ts`). */
import type { Commitment } from "../audit/value.ts";
import { PageChanges } from "./page-changes.ts";
import { RunRecorder } from "./run-recorder.ts";

export class Recorder {
  readonly changes = new PageChanges();

  /**
   * @param traced whether the page wants a trace
   * @param store puts a part of the trace into the log, beside an entry with its number
   */
  run(traced: boolean, store: (part: number, commitment: Commitment) => Promise<unknown>): RunRecorder {
    return new RunRecorder(this.changes, traced, store);
  }
}
