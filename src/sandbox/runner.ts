/** Runs a program, or a function of it, to its end, and determines how it ended. */
import { VakError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { attach, type Meter } from "../meter/index.ts";
import type { Ended, GuestOutcome, RunRequest, WorkerMessage } from "../protocol/messages.ts";
import { Halt, type Outside } from "./bridge.ts";
import { Outlet } from "./fs/devices.ts";
import type { Volume } from "./fs/volume.ts";
import { enter, type Instance, type Loaded, link } from "./instance.ts";
import { call } from "./reactor.ts";
import { trapOf } from "./traps.ts";
import { GuestMemory } from "./wasi/memory.ts";
import { createProcess } from "./wasi/process.ts";

/**
 * Runs the program of an agent. A command gets a fresh instance for each run; a reactor keeps its instance from call to
 * call, until a call does not return.
 */
export class Runner {
  readonly #volume: Volume;
  /** The instance that the next call continues with, if there is one. */
  kept: Instance | undefined;
  /** The instance that is running. */
  current: Instance | undefined;

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  /**
   * Runs an admitted program, or calls a function of it, to its end. Never throws for what the guest does.
   *
   * @throws VakError `unsupported` if the engine has no room for the program's memory; none of it has run then
   */
  async execute(
    program: Loaded,
    request: RunRequest,
    limits: Limits,
    outside: Outside,
    post: (message: WorkerMessage, transfer?: Transferable[]) => void,
  ): Promise<Ended> {
    const volume = this.#volume;
    const { wait, firstSlice } = outside;
    const outlet = new Outlet(limits.outputBytes, (fd, bytes) =>
      post({ vak: "output", run: request.run, fd, bytes }, [bytes.buffer]),
    );
    const before = this.kept;
    this.kept = undefined;
    const memory = before?.memory ?? new GuestMemory();
    const process = before?.process ?? createProcess(limits, volume, memory);
    process.begin(request, outlet, outside);
    const run = (exported: unknown, ...args: number[]) => enter(exported, wait, args);
    let meter: Meter | undefined;
    let outcome: GuestOutcome;
    let kept: Instance | undefined;
    try {
      const exports = before?.exports ?? (await link(program, program.gate, process, wait));
      memory.attach(exports.memory);
      this.current = { exports, memory, process };
      meter = attach(exports, { fuel: limits.fuel, slice: firstSlice });
      const { refill, pace } = outside.slices(meter, exports);
      process.attach(meter, pace);
      meter.refillWith(wait === "jspi" ? new WebAssembly.Suspending(refill) : refill);
      if (!before && program.start !== null) await run(exports[program.start]);
      if (!request.call) {
        do await run(exports._start);
        while (outside.again?.());
        outcome = { status: "exited", exitCode: 0 };
      } else {
        if (!before && exports._initialize) await run(exports._initialize);
        outcome = { status: "exited", exitCode: 0, value: await call(exports, memory, limits, request.call, run) };
        kept = this.current;
      }
    } catch (error) {
      if (error instanceof VakError) throw error;
      outcome = { status: "trapped", ...trapOf(error) };
    }
    // What ended it first, beginning with the surest sign: a guest out of fuel has done nothing since.
    const ended = process.ended();
    if (meter?.exhausted) outcome = { status: "stopped", limit: meter.stopped ? "asked" : "fuel" };
    else if (ended instanceof Halt) outcome = { status: "stopped", limit: ended.limit };
    else if (ended) outcome = { status: "exited", exitCode: ended.exitCode };
    else if (meter?.overflowed)
      outcome = { status: "trapped", trap: "stack", message: "the limit stackDepth was reached" };
    else this.kept = kept;
    outlet.flush();
    this.current = undefined;
    const { byteLength: memoryBytes } = memory;
    if (!this.kept) {
      // Nothing may hold the instance any longer: it would occupy memory for as long as the agent lives.
      process.close();
    }
    return { outcome, fuel: meter?.used ?? 0, memoryBytes, fileBytes: volume.fileBytes, files: volume.sha256() };
  }
}
