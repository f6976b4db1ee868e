/** An agent's runs as a timeline: sessions that execute them, and the checkpoints that were made, in order. */
import { VakError } from "../errors.ts";
import type { Checkpoint, Keeping } from "./checkpoint.ts";
import type { LoggedRun, Recording } from "./recording.ts";
import type { Looking, Replay } from "./result.ts";
import type { Session } from "./session.ts";

/** Checkpoints within a run. */
const PER_RUN = 16;
/** Checkpoints of an agent, and bytes that they may hold: beyond either, every second one is discarded. */
const MAX_CHECKPOINTS = 64;
const MAX_BYTES = 256 * 2 ** 20;

/** @param rewritten whether to execute a form of the program that allows checkpoints within a run */
export type Start = (run: LoggedRun, rewritten: boolean) => Promise<Session>;

/** A point in a run for which there is a checkpoint: calls made by then, and units of work done. */
export interface Place {
  calls: number;
  fuel: number;
}

export class Timeline {
  readonly #recording: Recording;
  readonly #start: Start;
  #session: Session | undefined;
  #checkpoints: Checkpoint[] = [];
  #rewritten = true;

  constructor(recording: Recording, start: Start) {
    this.#recording = recording;
    this.#start = start;
  }

  async replay(run: LoggedRun, looking: Looking): Promise<Replay> {
    const result = await this.#execute(run, looking);
    if (result.verdict !== "diverged" || !this.#session?.rewritten) return result;
    // Rewritten functions have larger frames, so the engine's own stack may have overflowed: that is not a divergence.
    this.#rewritten = false;
    this.#session = undefined;
    return this.#execute(run, looking);
  }

  async #execute(run: LoggedRun, looking: Looking): Promise<Replay> {
    if (!this.#session) {
      this.#session = await this.#startSession(run);
      this.#checkpoints = [];
      this.#keep(this.#session.save(0));
    }
    const session = this.#session;
    const from = this.#before(run, looking);
    if (!from.inside) await session.restore(from);
    let result: Replay | undefined;
    for (const one of this.#recording.upTo(run)) {
      if (one.number < from.run) continue;
      if (one.number > from.run) this.#keep(session.save(one.number));
      if (one !== run) result = await session.replay(one);
      else result = await session.replay(run, looking, this.#keeping(run), from.inside && from);
      if (result.verdict !== "same") break;
    }
    return result!;
  }

  /** If the engine refuses the rewritten program because its functions are too large, the original is executed. */
  async #startSession(run: LoggedRun): Promise<Session> {
    try {
      return await this.#start(run, this.#rewritten);
    } catch (error) {
      if (!this.#rewritten || !(error instanceof VakError) || error.code !== "unsupported") throw error;
      this.#rewritten = false;
      return this.#start(run, false);
    }
  }

  #keeping({ number }: LoggedRun): Keeping {
    const last = this.#checkpoints.findLast(({ run, inside }) => run === number && inside);
    const onCheckpoint = (checkpoint: Checkpoint) => this.#keep(checkpoint);
    return { count: PER_RUN, after: last?.inside?.capture.fuel ?? 0, onCheckpoint };
  }

  /** The last checkpoint before what is asked for; not one within a run that is to be compared as a whole. */
  #before({ number }: LoggedRun, { until, steps }: Looking): Checkpoint {
    return this.#checkpoints.findLast(({ run, inside }) => {
      if (!inside) return run <= number;
      if (run !== number || !until || steps) return false;
      return "call" in until ? inside.progress.calls < until.call : inside.capture.fuel < until.fuel;
    })!;
  }

  /** Where a run can be resumed. */
  within({ number }: LoggedRun): Place[] {
    return this.#checkpoints.flatMap(({ run, inside }) =>
      run === number && inside ? [{ calls: inside.progress.calls, fuel: inside.capture.fuel }] : [],
    );
  }

  /** Puts it in its place, unless there is one already. The first one, at the beginning, always stays. */
  #keep(checkpoint: Checkpoint | undefined): void {
    if (!checkpoint) return;
    const at = this.#checkpoints.findLastIndex((one) => compare(one, checkpoint) <= 0);
    if (at >= 0 && compare(this.#checkpoints[at]!, checkpoint) === 0) return;
    this.#checkpoints.splice(at + 1, 0, checkpoint);
    while (
      this.#checkpoints.length > MAX_CHECKPOINTS ||
      (this.#checkpoints.length > 1 && held(this.#checkpoints) > MAX_BYTES)
    ) {
      this.#checkpoints = this.#checkpoints.filter((_, n) => n % 2 === 0);
    }
  }
}

const compare = (one: Checkpoint, other: Checkpoint): number =>
  one.run - other.run || (one.inside?.capture.fuel ?? -1) - (other.inside?.capture.fuel ?? -1);

/** Bytes that checkpoints hold; what they share is counted once. */
function held(checkpoints: readonly Checkpoint[]): number {
  const all = new Set<Uint8Array>();
  for (const { host, kept, inside } of checkpoints) {
    for (const bytes of host.held) all.add(bytes);
    for (const page of [...(kept?.contents.pages ?? []), ...(inside?.capture.contents.pages ?? [])]) all.add(page);
    if (inside) all.add(inside.capture.frames);
  }
  let sum = 0;
  for (const bytes of all) sum += bytes.byteLength;
  return sum;
}
