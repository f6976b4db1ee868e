/** An agent's runs as a timeline: sessions that execute them, and the save points that were made, in order. */
import { VakError } from "../errors.ts";
import type { LoggedRun, Recording } from "./recording.ts";
import type { Replay, ReplayView } from "./result.ts";
import type { SavePoint, SavePointPlan } from "./save-point.ts";
import type { Session } from "./session.ts";

/** Save points within a run. */
const PER_RUN = 16;
/** Save points of an agent, and bytes that they may hold: beyond either, every second one is discarded. */
const MAX_SAVE_POINTS = 64;
const MAX_BYTES = 256 * 2 ** 20;

/** @param rewritten whether to execute a form of the program that allows save points within a run */
export type Start = (run: LoggedRun, rewritten: boolean) => Promise<Session>;

/** A point in a run for which there is a save point: calls made by then, and units of work done. */
export interface Place {
  calls: number;
  fuel: number;
}

export class Timeline {
  readonly #recording: Recording;
  readonly #start: Start;
  #session: Session | undefined;
  #savePoints: SavePoint[] = [];
  #rewritten = true;

  constructor(recording: Recording, start: Start) {
    this.#recording = recording;
    this.#start = start;
  }

  async replay(run: LoggedRun, looking: ReplayView): Promise<Replay> {
    const result = await this.#execute(run, looking);
    if (result.verdict !== "diverged" || !this.#session?.rewritten) return result;
    // Rewritten functions have larger frames, so the engine's own stack may have overflowed: that is not a divergence.
    this.#rewritten = false;
    this.#session = undefined;
    return this.#execute(run, looking);
  }

  async #execute(run: LoggedRun, looking: ReplayView): Promise<Replay> {
    if (!this.#session) {
      this.#session = await this.#startSession(run);
      this.#savePoints = [];
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
      else result = await session.replay(run, looking, this.#plan(run), from.inside && from);
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

  #plan({ number }: LoggedRun): SavePointPlan {
    const last = this.#savePoints.findLast(({ run, inside }) => run === number && inside);
    const onSavePoint = (savePoint: SavePoint) => this.#keep(savePoint);
    return { count: PER_RUN, after: last?.inside?.capture.fuel ?? 0, onSavePoint };
  }

  /** The last save point before what is asked for; never one inside a run that must be compared from its start. */
  #before({ number }: LoggedRun, { until, steps }: ReplayView): SavePoint {
    return this.#savePoints.findLast(({ run, inside }) => {
      if (!inside) return run <= number;
      if (run !== number || !until || steps) return false;
      return "call" in until ? inside.progress.calls < until.call : inside.capture.fuel < until.fuel;
    })!;
  }

  /** Where a run can be resumed. */
  within({ number }: LoggedRun): Place[] {
    return this.#savePoints.flatMap(({ run, inside }) =>
      run === number && inside ? [{ calls: inside.progress.calls, fuel: inside.capture.fuel }] : [],
    );
  }

  /** Puts it in its place, unless there is one already. The first one, at the beginning, always stays. */
  #keep(savePoint: SavePoint | undefined): void {
    if (!savePoint) return;
    const at = this.#savePoints.findLastIndex((one) => compare(one, savePoint) <= 0);
    if (at >= 0 && compare(this.#savePoints[at]!, savePoint) === 0) return;
    this.#savePoints.splice(at + 1, 0, savePoint);
    while (
      this.#savePoints.length > MAX_SAVE_POINTS ||
      (this.#savePoints.length > 1 && held(this.#savePoints) > MAX_BYTES)
    ) {
      this.#savePoints = this.#savePoints.filter((_, n) => n % 2 === 0);
    }
  }
}

const compare = (one: SavePoint, other: SavePoint): number =>
  one.run - other.run || (one.inside?.capture.fuel ?? -1) - (other.inside?.capture.fuel ?? -1);

/** Bytes that save points hold; what they share is counted once. */
function held(savePoints: readonly SavePoint[]): number {
  const all = new Set<Uint8Array>();
  for (const { host, kept, inside } of savePoints) {
    for (const bytes of host.held) all.add(bytes);
    for (const page of [...(kept?.contents.pages ?? []), ...(inside?.capture.contents.pages ?? [])]) all.add(page);
    if (inside) all.add(inside.capture.frames);
  }
  let sum = 0;
  for (const bytes of all) sum += bytes.byteLength;
  return sum;
}
