/** WASI preview 1 (snapshot-01) and the `vak` imports for one instance, from its first run to its last. */
import { wasi } from "@bjorn3/browser_wasi_shim";
import type { Limits } from "../../limits.ts";
import type { Meter } from "../../meter/index.ts";
import type { RunRequest } from "../../protocol/messages.ts";
import { type Awaitable, Halt, type Outside } from "../bridge.ts";
import { RootDirectory } from "../fs/descriptors.ts";
import { CallDevice, Input, type Outlet, Output } from "../fs/devices.ts";
import type { Volume } from "../fs/volume.ts";
import { TRAP } from "../gate.ts";
import { Errno } from "../preview1/errno.ts";
import { type Clock, RealClock, VirtualClock } from "./clock.ts";
import { clockCalls } from "./clock-calls.ts";
import { ask, type Context, type SystemCall, type SystemCalls } from "./context.ts";
import { DescriptorTable, type TableState } from "./descriptor-table.ts";
import { environmentCalls } from "./environment-calls.ts";
import { fdCalls } from "./fd-calls.ts";
import type { GuestMemory } from "./memory.ts";
import { pathCalls } from "./path-calls.ts";
import { RandomStream } from "./random.ts";
import { toolCalls } from "./tool-calls.ts";

/** System calls between two checks of the time; slow calls check every time. */
const CALLS_PER_PACE = 256;
const SLOW = /^(path_|random_|fd_(p?read|p?write|readdir|allocate|filestat_set_size))/;

/** The system calls of one instance, and what it keeps from run to run. */
export interface Process {
  /** What the guest's imports call, by name; each returns an i32 for the gate. */
  host: Record<string, (...args: never[]) => Awaitable<number>>;
  /** Those of `host` that may wait. */
  waits: ReadonlySet<string>;
  /**
   * Sets the meter of the instance, once that exists.
   *
   * @param pace called now and then from system calls, whose time the meter does not count
   */
  attach(meter: Meter, pace: () => void): void;
  /**
   * Begins a run, or another call of the same instance: new standard streams, arguments and random bytes. What the
   * guest has open stays open, and its clocks continue.
   */
  begin(request: RunRequest, outlet: Outlet, outside: Outside): void;
  /** Why the run was ended from inside a system call, if it was. */
  ended(): Context["ended"];
  /** Closes what the guest left open, and releases its instance. */
  close(): void;
  /** The live state of a run; a replay copies it. Not to be called during a system call. */
  save(): ProcessState;
  /** Resumes from such a state, in a run that has begun in the same way. */
  restore(state: ProcessState): void;
}

/** What of a process changes during a run. */
export interface ProcessState extends TableState {
  clock: Clock | undefined;
  random: RandomStream;
  answer: Uint8Array | undefined;
  /** Where it prints; each run has its own. */
  outlet: Outlet;
}

export function createProcess(limits: Limits, volume: Volume, memory: GuestMemory): Process {
  const table = new DescriptorTable(new RootDirectory(volume));
  // The rest is set when the first run begins, before which no system call is made.
  const context = { limits, memory, table } as Context;
  let meter: Meter | undefined;
  let pace = () => {};

  volume.device("vak", () => new CallDevice(limits.callBytes, (request) => ask(context, request)));

  const calls: SystemCalls = {
    ...environmentCalls(context),
    ...clockCalls(context),
    ...fdCalls(context),
    ...pathCalls(context),
    ...toolCalls(context),
  };

  /** Functions of `vak` return a length or a negative errno, those of WASI an errno. */
  const guard = (name: string, systemCall: SystemCall) => {
    const code = (result: unknown): number => (typeof result === "number" ? result : 0);
    const failed = (error: unknown): number => {
      if (error instanceof Halt) {
        context.ended ??= error;
        return TRAP;
      }
      // Anything else is a fault of the host's, most likely a failed allocation.
      const errno =
        error instanceof Errno ? error.errno : error instanceof RangeError ? wasi.ERRNO_NOMEM : wasi.ERRNO_IO;
      return name === "call" || name === "answer" ? -errno : errno;
    };
    const slow = SLOW.test(name);
    return (...args: never[]): Awaitable<number> => {
      if (context.ended || meter?.exhausted) return TRAP;
      try {
        if (context.outside.enter() % CALLS_PER_PACE === 0 || slow) pace();
        const result = systemCall(...args);
        return result instanceof Promise ? result.then(code, failed) : code(result);
      } catch (error) {
        return failed(error);
      }
    };
  };

  return {
    host: Object.fromEntries(Object.entries(calls).map(([name, systemCall]) => [name, guard(name, systemCall)])),
    waits: new Set(["call", "fd_write", "poll_oneoff"]),
    begin: (request, outlet, outside) => {
      context.outlet = outlet;
      context.outside = outside;
      context.run = request.run;
      context.args = request.args;
      context.env = Object.entries(request.env).map(([name, value]) => `${name}=${value}`);
      context.random = new RandomStream(request.seed, request.run);
      const fuel = () => meter?.used ?? 0;
      const clock =
        request.clock === "real"
          ? new RealClock(() => context.outside.now(), fuel, context.clock)
          : new VirtualClock(request.startTime, fuel, context.clock);
      context.clock = clock;
      volume.now = () => context.clock!.stamp();
      table.stream(0, new Input(request.stdin));
      table.stream(1, new Output(outlet, 1));
      table.stream(2, new Output(outlet, 2));
    },
    attach: (of, paced) => {
      meter = of;
      pace = paced;
    },
    ended: () => context.ended,
    close: () => {
      table.closeAll();
      // The files outlive the process, and refer to its clock.
      const last = context.clock!.stamp();
      volume.now = () => last;
      memory.release();
      meter = undefined;
      pace = () => {};
    },
    save: () => {
      const { clock, random, answer, outlet } = context;
      return { ...table.save(), clock, random, answer, outlet };
    },
    restore: (state) => {
      table.restore(state);
      context.clock = state.clock;
      context.random = state.random;
      context.answer = state.answer;
      context.ended = undefined;
    },
  };
}
