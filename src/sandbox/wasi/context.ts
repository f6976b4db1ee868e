/** What the system calls of one instance share: its memory, its descriptors, and the run that is in progress. */
import type { Limits } from "../../limits.ts";
import type { Awaitable, Halt, Outside } from "../bridge.ts";
import type { Outlet } from "../fs/devices.ts";
import type { Clock } from "./clock.ts";
import type { DescriptorTable } from "./descriptor-table.ts";
import type { GuestMemory } from "./memory.ts";
import type { RandomStream } from "./random.ts";

export interface Context {
  readonly limits: Limits;
  readonly memory: GuestMemory;
  readonly table: DescriptorTable;
  /** The run's number. */
  run: number;
  args: string[];
  /** As `NAME=value`. */
  env: string[];
  outlet: Outlet;
  outside: Outside;
  /** Undefined until the first run begins. */
  clock: Clock | undefined;
  random: RandomStream;
  /** The answer to the last call of `vak.call`. */
  answer: Uint8Array | undefined;
  /** Why the run was ended from inside a system call, if it was. */
  ended: { exitCode: number } | Halt | undefined;
}

/** A result that is not a number is success. */
export type SystemCall = (...args: never[]) => Awaitable<unknown>;

/** System calls by name. Every argument is checked there. */
export type SystemCalls = Record<string, SystemCall>;

/** Asks the kernel, after sending all output so far. */
export function ask({ outlet, outside, run }: Context, request: Uint8Array<ArrayBuffer>): Awaitable<Uint8Array> {
  outlet.flush();
  return outside.ask(run, request);
}
