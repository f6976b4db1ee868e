import type { Limits } from "../limits.ts";
import { attach, COST_TABLE, instrument, METER_VERSION, type Meter } from "../meter/index.ts";
import type { Admitted, Ended, Outcome, RunRequest, Trap, WaitMode, WorkerMessage } from "../protocol.ts";
import { Halt, type Outside } from "./bridge.ts";
import { Outlet } from "./devices.ts";
import { gateModule } from "./gate.ts";
import { WASI_IMPORTS } from "./imports.ts";
import { GuestMemory } from "./memory.ts";
import type { Volume } from "./vfs.ts";
import { createProcess, type Process } from "./wasi.ts";

/** Version of what a guest meets here: system calls, clock, random numbers. To be raised when any of it changes. */
const SANDBOX_VERSION = 1;

/** What a run depends on besides its program and what it is given: who has the same executes it in the same way. */
export const MACHINE = `${COST_TABLE}/${METER_VERSION}/${SANDBOX_VERSION}`;

const VALTYPE: Record<string, string> = { i: "i32", I: "i64" };

/**
 * Admits and compiles a program.
 *
 * @throws VakError `invalid-module` naming what is wrong and where
 */
export async function compile(bytes: Uint8Array, limits: Limits): Promise<Admitted> {
  const { memoryBytes, tableElements, stackDepth } = limits;
  const metered = instrument(bytes, { fuel: true, resumable: true, nan: true, stackDepth, memoryBytes, tableElements });
  checkImports(metered.imports);
  checkExports(metered.exports);
  return {
    module: await WebAssembly.compile(metered.bytes),
    size: metered.bytes.byteLength,
    start: metered.start ?? null,
    imports: metered.imports.map(({ module, name }) => ({ module, name })),
    machine: MACHINE,
  };
}

type Metered = ReturnType<typeof instrument>;

function checkImports(imports: Metered["imports"]): void {
  for (const it of imports) {
    const label = `${JSON.stringify(it.module)} ${JSON.stringify(it.name)}`;
    const module = Object.hasOwn(WASI_IMPORTS, it.module) ? WASI_IMPORTS[it.module]! : {};
    if (it.kind !== "func" || !Object.hasOwn(module, it.name)) {
      throw new Error(
        `The program imports the ${it.kind} ${label}, which vak does not provide. ` +
          "Programs may import the functions of wasi_snapshot_preview1, and vak.call and vak.answer.",
      );
    }
    const { params, result } = module[it.name]!;
    const expected = `(${[...params].map((type) => VALTYPE[type]).join(", ")}) -> (${result ? "i32" : ""})`;
    const found = `(${it.params!.join(", ")}) -> (${it.results!.join(", ")})`;
    if (found !== expected) throw new Error(`The program imports ${label} as ${found}; it is ${expected}.`);
  }
}

function checkExports(exports: Metered["exports"]): void {
  const kind = (name: string) => exports.find((it) => it.name === name)?.kind;
  if (kind("_start") !== "func") {
    throw new Error("The program exports no function _start. vak runs WASI commands; this looks like a library.");
  }
  const memory = kind("memory");
  if (memory !== undefined && memory !== "memory") {
    throw new Error(`The program exports a ${memory} under the name "memory", where WASI wants its memory.`);
  }
}

/** A program that this worker can run. */
export interface Loaded extends Admitted {
  /** Being compiled, so that no run has to wait for it. */
  gate: Promise<WebAssembly.Module>;
}

export function load(program: Admitted): Loaded {
  const wanted = new Set(program.imports.map(({ name }) => name));
  return { ...program, gate: WebAssembly.compile(gateModule(wanted)) };
}

/** Runs an admitted program to its end. Never throws for what the guest does. */
export async function execute(
  program: Loaded,
  request: RunRequest,
  limits: Limits,
  volume: Volume,
  outside: Outside,
  post: (message: WorkerMessage, transfer?: Transferable[]) => void,
): Promise<Ended> {
  const outlet = new Outlet(limits.outputBytes, (fd, bytes) =>
    post({ vak: "output", run: request.run, fd, bytes }, [bytes.buffer]),
  );
  const memory = new GuestMemory();
  const process = createProcess(request, limits, volume, memory, outside, outlet);
  let meter: Meter | undefined;
  let outcome: Outcome;
  try {
    const { wait, firstSlice } = outside;
    const exports = await link(program, await program.gate, process, wait);
    memory.attach(exports.memory);
    meter = attach(exports, { fuel: limits.fuel, slice: firstSlice });
    const { refill, pace } = outside.slices(meter);
    process.attach(meter, pace);
    meter.refillWith(wait === "jspi" ? new WebAssembly.Suspending(refill) : refill);
    if (program.start !== null) await enter(exports[program.start], wait);
    await enter(exports._start, wait);
    outcome = { status: "exited", exitCode: 0 };
  } catch (error) {
    outcome = { status: "trapped", ...trapOf(error) };
  }
  // What ended it first, from the surest sign on: a guest that is out of fuel has done nothing since.
  const ended = process.ended();
  if (meter?.exhausted) outcome = { status: "stopped", limit: meter.stopped ? "asked" : "fuel" };
  else if (ended instanceof Halt) outcome = { status: "stopped", limit: ended.limit };
  else if (ended) outcome = { status: "exited", exitCode: ended.exitCode };
  else if (meter?.overflowed)
    outcome = { status: "trapped", trap: "stack", message: "the limit stackDepth was reached" };
  outlet.flush();
  process.close();
  const { fileBytes } = volume;
  return { outcome, fuel: meter?.used ?? 0, memoryBytes: memory.byteLength, fileBytes, files: volume.sha256() };
}

/** Instantiates the gate over the host's functions, and the program over the gate's. */
async function link(
  program: Admitted,
  gate: WebAssembly.Module,
  process: Process,
  wait: WaitMode,
): Promise<WebAssembly.Exports> {
  const host = nullRecord<WebAssembly.ImportValue>();
  for (const [name, fn] of Object.entries(process.host)) {
    host[name] = wait === "jspi" && process.waits.has(name) ? new WebAssembly.Suspending(fn) : fn;
  }
  const doors = new WebAssembly.Instance(gate, { host }).exports;
  const imports = nullRecord<WebAssembly.ModuleImports>();
  for (const { module, name } of program.imports) {
    imports[module] ??= nullRecord();
    imports[module][name] = doors[name]!;
  }
  // Not `new Instance`: where this is replayed on a page, Chromium refuses that to large modules.
  return (await WebAssembly.instantiate(program.module, imports)).exports;
}

/** Without a prototype there is no `constructor` for a guest to import. */
const nullRecord = <T>(): Record<string, T> => Object.create(null) as Record<string, T>;

function enter(entry: unknown, wait: WaitMode): Promise<unknown> | unknown {
  const fn = entry as () => unknown;
  return wait === "jspi" ? WebAssembly.promising(fn)() : fn();
}

/** Engines name their traps in words of their own: Chromium's, Firefox's, then WebKit's. */
const TRAP_MESSAGES: [Trap, RegExp][] = [
  ["stack", /call stack size|too much recursion/i],
  ["unreachable", /unreachable/i],
  ["divide", /(divide|division|remainder) by zero/i],
  ["overflow", /unrepresentable|integer overflow|invalid conversion to integer|out of bounds trunc/i],
  ["out-of-bounds", /out of bounds|out-of-bounds/i],
  ["indirect-call", /function signature|null function|indirect call|call_indirect/i],
  ["null-reference", /null/i],
  ["cast", /cast/i],
  ["memory", /out of memory|allocat/i],
];

function trapOf(error: unknown): { trap: Trap; message: string } {
  const message = error instanceof Error ? error.message.slice(0, 1000) : "";
  if (error instanceof WebAssembly.Exception) return { trap: "exception", message: "an exception was not caught" };
  return { trap: TRAP_MESSAGES.find(([, pattern]) => pattern.test(message))?.[0] ?? "other", message };
}
