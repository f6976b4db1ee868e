/** Executes the runs of a log again any number of times, from the checkpoints of earlier times. */
import type { LoggedRun, Recording } from "./recording.ts";
import type { Replay, ReplayView } from "./result.ts";
import { type Place, type Start, Timeline } from "./timeline.ts";
import { checkUntil } from "./until.ts";

/**
 * An opened log whose runs can be executed again any number of times. It keeps checkpoints: going back in a run, or on
 * to a later run of an agent, takes much less time than getting there did at first. {@link openReplay} makes one.
 */
export class Replayer {
  readonly #recording: Recording;
  readonly #timelines = new Map<LoggedRun["spawn"], Timeline>();
  readonly #start: Start;
  #turn: Promise<unknown> = Promise.resolve();

  /** @internal */
  constructor(recording: Recording, start: Start) {
    this.#recording = recording;
    this.#start = start;
  }

  /**
   * As {@link replay}, for this log. With `until` it resumes from the last checkpoint before that point; what comes
   * before was compared when it was first executed. One call waits for the other.
   *
   * @throws VakError as {@link replay}
   */
  replay(run: string | number, looking: ReplayView = {}): Promise<Replay> {
    checkUntil(looking.until);
    const found = this.#recording.find(run);
    const timeline = this.#timelines.get(found.spawn) ?? new Timeline(this.#recording, this.#start);
    this.#timelines.set(found.spawn, timeline);
    const result = this.#turn.then(() => timeline.replay(found, looking));
    this.#turn = result.catch(() => {});
    return result;
  }

  /** The checkpoints within a run, in order. */
  checkpoints(run: string | number): Place[] {
    const found = this.#recording.find(run);
    return this.#timelines.get(found.spawn)?.within(found) ?? [];
  }
}
