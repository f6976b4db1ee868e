/** Executes runs again any number of times, and goes back to where it has been. */
import { VakError } from "../errors.ts";
import { checkUntil } from "./recorded.ts";
import type { LoggedRun, Recording } from "./recording.ts";
import type { Checkpoint, Keeping, Looking, Replay, Session } from "./run.ts";

/** Checkpoints within a run. */
const PER_RUN = 16;
/** Checkpoints of an agent, and bytes that they may hold: past either, every second one is given up. */
const MAX_CHECKPOINTS = 64;
const MAX_BYTES = 256 * 2 ** 20;

/** @param rewritten whether to execute it in a form of which checkpoints can be made while it is at work */
type Start = (run: LoggedRun, rewritten: boolean) => Promise<Session>;

/** A place in a run of which there is a checkpoint: calls made by then, and units of work done. */
export interface Place {
  calls: number;
  fuel: number;
}

/** An agent's runs, and the checkpoints that were made of them, in order. */
class Timeline {
  private readonly recording: Recording;
  private readonly start: Start;
  private session: Session | undefined;
  private checkpoints: Checkpoint[] = [];
  private rewritten = true;

  constructor(recording: Recording, start: Start) {
    this.recording = recording;
    this.start = start;
  }

  async replay(run: LoggedRun, looking: Looking): Promise<Replay> {
    const result = await this.execute(run, looking);
    if (result.verdict !== "diverged" || !this.session?.rewritten) return result;
    // Rewritten functions have larger frames: that the engine's own stack ends there is no finding.
    this.rewritten = false;
    this.session = undefined;
    return this.execute(run, looking);
  }

  private async execute(run: LoggedRun, looking: Looking): Promise<Replay> {
    if (!this.session) {
      this.session = await this.startSession(run);
      this.checkpoints = [];
      this.keep(this.session.save(0));
    }
    const { session } = this;
    const from = this.before(run, looking);
    if (!from.inside) await session.restore(from);
    let result: Replay | undefined;
    for (const one of this.recording.upTo(run)) {
      if (one.number < from.run) continue;
      if (one.number > from.run) this.keep(session.save(one.number));
      if (one !== run) result = await session.replay(one);
      else result = await session.replay(run, looking, this.keeping(run), from.inside && from);
      if (result.verdict !== "same") break;
    }
    return result!;
  }

  /** Where the engine does not take the rewritten program, its functions having become too large, it is left as it is. */
  private async startSession(run: LoggedRun): Promise<Session> {
    try {
      return await this.start(run, this.rewritten);
    } catch (error) {
      if (!this.rewritten || !(error instanceof VakError) || error.code !== "unsupported") throw error;
      this.rewritten = false;
      return this.start(run, false);
    }
  }

  private keeping({ number }: LoggedRun): Keeping {
    const last = this.checkpoints.findLast(({ run, inside }) => run === number && inside);
    const onCheckpoint = (checkpoint: Checkpoint) => this.keep(checkpoint);
    return { count: PER_RUN, after: last?.inside?.capture.fuel ?? 0, onCheckpoint };
  }

  /** The last checkpoint before what is asked for. Of a run that is to be compared as a whole, none within it. */
  private before({ number }: LoggedRun, { until, steps }: Looking): Checkpoint {
    return this.checkpoints.findLast(({ run, inside }) => {
      if (!inside) return run <= number;
      if (run !== number || !until || steps) return false;
      return "call" in until ? inside.progress.calls < until.call : inside.capture.fuel < until.fuel;
    })!;
  }

  /** Where a run can be gone on with. */
  within({ number }: LoggedRun): Place[] {
    return this.checkpoints.flatMap(({ run, inside }) =>
      run === number && inside ? [{ calls: inside.progress.calls, fuel: inside.capture.fuel }] : [],
    );
  }

  /** Puts it among the others, unless there is one of that place. The first one, of the beginning, stays. */
  private keep(checkpoint: Checkpoint | undefined): void {
    if (!checkpoint) return;
    const at = this.checkpoints.findLastIndex((one) => compare(one, checkpoint) <= 0);
    if (at >= 0 && compare(this.checkpoints[at]!, checkpoint) === 0) return;
    this.checkpoints.splice(at + 1, 0, checkpoint);
    while (
      this.checkpoints.length > MAX_CHECKPOINTS ||
      (this.checkpoints.length > 1 && held(this.checkpoints) > MAX_BYTES)
    ) {
      this.checkpoints = this.checkpoints.filter((_, n) => n % 2 === 0);
    }
  }
}

const compare = (one: Checkpoint, other: Checkpoint): number =>
  one.run - other.run || (one.inside?.capture.fuel ?? -1) - (other.inside?.capture.fuel ?? -1);

/** Bytes that checkpoints hold; what several of them share is counted once. */
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

/**
 * An opened log, whose runs can be executed again as often as one likes. It keeps checkpoints: to go back in a run, or to
 * a later run of an agent, takes much less than the way there took at first. Made by {@link openReplay}.
 */
export class Replayer {
  private readonly recording: Recording;
  private readonly timelines = new Map<LoggedRun["spawn"], Timeline>();
  private readonly start: Start;
  private turn: Promise<unknown> = Promise.resolve();

  /** @internal */
  constructor(recording: Recording, start: Start) {
    this.recording = recording;
    this.start = start;
  }

  /**
   * As {@link replay}, of this log. With `until` it goes on from the last checkpoint before that place; what comes before
   * was compared when it was executed first. One call waits for the other.
   *
   * @throws VakError as {@link replay}
   */
  replay(run: string | number, looking: Looking = {}): Promise<Replay> {
    checkUntil(looking.until);
    const found = this.recording.find(run);
    const timeline = this.timelines.get(found.spawn) ?? new Timeline(this.recording, this.start);
    this.timelines.set(found.spawn, timeline);
    const result = this.turn.then(() => timeline.replay(found, looking));
    this.turn = result.catch(() => {});
    return result;
  }

  /** The checkpoints that there are within a run, in order. */
  checkpoints(run: string | number): Place[] {
    const found = this.recording.find(run);
    return this.timelines.get(found.spawn)?.within(found) ?? [];
  }
}
