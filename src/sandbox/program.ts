import { VakError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { attach, COST_TABLE, instrument, METER_VERSION, type Meter, RESERVED_PREFIX } from "../meter/index.ts";
import type { Admitted, Ended, Outcome, RunRequest, Trap, WaitMode, WorkerMessage } from "../protocol/messages.ts";
import { Halt, type Outside } from "./bridge.ts";
import { Outlet } from "./fs/devices.ts";
import type { Volume } from "./fs/volume.ts";
import { gateModule } from "./gate.ts";
import { Errno } from "./wasi/errno.ts";
import { WASI_IMPORTS } from "./wasi/imports.ts";
import { GuestMemory } from "./wasi/memory.ts";
import { createProcess, type Process } from "./wasi/process.ts";

/** Version of what a guest meets here: system calls, clock, random numbers. To be raised when any of it changes. */
const SANDBOX_VERSION = 2;

/** What a run depends on besides its program and what it is given: who has the same executes it in the same way. */
export const MACHINE = `${COST_TABLE}/${METER_VERSION}/${SANDBOX_VERSION}`;

const VALTYPE: Record<string, string> = { i: "i32", I: "i64" };

/**
 * Admits and compiles a program.
 *
 * @param finish what else is done to the metered module
 * @throws VakError `invalid-module` naming what is wrong and where
 */
export async function compile(
  bytes: Uint8Array,
  limits: Limits,
  finish = (metered: Uint8Array<ArrayBuffer>) => metered,
): Promise<Admitted> {
  const { memoryBytes, tableElements, stackDepth } = limits;
  const metered = instrument(bytes, { fuel: true, resumable: true, nan: true, stackDepth, memoryBytes, tableElements });
  checkImports(metered.imports);
  checkExports(metered.exports);
  return {
    module: await make(finish(metered.bytes)),
    size: metered.bytes.byteLength,
    start: metered.start ?? null,
    reactor: !metered.exports.some(({ name }) => name === "_start"),
    imports: metered.imports.map(({ module, name }) => ({ module, name })),
    machine: MACHINE,
  };
}

/**
 * Where this is replayed on a page, it must not stand still, and Chromium refuses it to. A worker has nothing else to do
 * meanwhile; and in one of WebKitGTK 2.50 the promise of `WebAssembly.compile` was, once in 50,297 times, settled only when
 * the next message came, which may be never.
 */
const ON_PAGE = "document" in globalThis;

const make = (bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module | Promise<WebAssembly.Module> =>
  ON_PAGE ? WebAssembly.compile(bytes) : new WebAssembly.Module(bytes);

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
  const reactor = kind("_start") === undefined;
  if (kind("_start") !== "func" && !(reactor && kind("alloc") === "func" && kind("memory") === "memory")) {
    throw new Error(
      "The program exports no function _start, as a WASI command does, nor memory and a function alloc, " +
        "as a reactor does whose functions are called with agent.call.",
    );
  }
  const memory = kind("memory");
  if (memory !== undefined && memory !== "memory") {
    throw new Error(`The program exports a ${memory} under the name "memory", where WASI wants its memory.`);
  }
}

/** A program that this worker can run. */
export interface Loaded extends Admitted {
  gate: WebAssembly.Module;
}

export function load(program: Admitted): Loaded {
  const wanted = new Set(program.imports.map(({ name }) => name));
  return { ...program, gate: new WebAssembly.Module(gateModule(wanted)) };
}

/** A program's instance, and what is the host's of it. */
export interface Instance {
  exports: WebAssembly.Exports;
  memory: GuestMemory;
  process: Process;
}

/**
 * The one who runs a program. A command gets a fresh instance for each run; a reactor keeps its instance from call to
 * call, until one does not return.
 */
export class Runner {
  private readonly volume: Volume;
  /** The instance that the next run goes on with, if there is one. */
  kept: Instance | undefined;
  /** The instance that is at work. */
  current: Instance | undefined;

  constructor(volume: Volume) {
    this.volume = volume;
  }

  /**
   * Runs an admitted program, or calls a function of it, to its end. Never throws for what the guest does.
   *
   * @throws VakError `unsupported` when the engine has no room for the program's memory; nothing of it was run
   */
  async execute(
    program: Loaded,
    request: RunRequest,
    limits: Limits,
    outside: Outside,
    post: (message: WorkerMessage, transfer?: Transferable[]) => void,
  ): Promise<Ended> {
    const { volume } = this;
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
    let outcome: Outcome;
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
    // What ended it first, from the surest sign on: a guest that is out of fuel has done nothing since.
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
      // Nothing holds the ended instance: it would take room for as long as the agent lives.
      this.current = undefined;
      process.close();
    }
    return { outcome, fuel: meter?.used ?? 0, memoryBytes, fileBytes: volume.fileBytes, files: volume.sha256() };
  }
}

/** The program broke the convention by which its functions are called. */
class AbiError extends Error {}

/**
 * Calls a function of a reactor: puts the input where its `alloc` says, and takes the answer from where the function
 * says: four bytes of length, little-endian, then as many of JSON.
 */
async function call(
  exports: WebAssembly.Exports,
  memory: GuestMemory,
  { callBytes }: Limits,
  { name, input }: NonNullable<RunRequest["call"]>,
  run: (exported: unknown, ...args: number[]) => Promise<unknown> | unknown,
): Promise<Uint8Array<ArrayBuffer>> {
  const { alloc, dealloc } = exports;
  const target = Object.hasOwn(exports, name) ? exports[name] : undefined;
  if (typeof target !== "function" || target.length !== 2 || name.startsWith(RESERVED_PREFIX)) {
    throw new AbiError(`it exports no function ${JSON.stringify(name)} of two parameters`);
  }
  const pointer = (value: unknown, what: string): number =>
    typeof value === "number" && value !== 0 ? value : refuse(`${what} gave no pointer`);
  try {
    const given = pointer(await run(alloc, input.byteLength), "alloc");
    memory.write(given, input);
    const answer = pointer(await run(target, given, input.byteLength), name);
    const length = memory.view(answer, 4).getUint32(0, true);
    if (length > callBytes) refuse(`its answer has ${length} bytes; the limit callBytes is ${callBytes}`);
    const value = memory.bytes(answer + 4, length).slice();
    if (!isJson(value)) refuse("its answer is not UTF-8 JSON");
    if (typeof dealloc === "function") {
      await run(dealloc, given, input.byteLength);
      await run(dealloc, answer, length + 4);
    }
    return value;
  } catch (error) {
    if (error instanceof Errno) refuse("it gave a pointer outside its memory");
    // A number where the function takes something else.
    if (error instanceof TypeError) refuse(`the parameters of ${name}, alloc and dealloc are i32`);
    throw error;
  }
}

function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return true;
  } catch {
    return false;
  }
}

function refuse(message: string): never {
  throw new AbiError(message);
}

/** Instantiates the gate over the host's functions, and the program over the gate's. */
export async function link(
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
  try {
    if (ON_PAGE) return (await WebAssembly.instantiate(program.module, imports)).exports;
    return new WebAssembly.Instance(program.module, imports).exports;
  } catch (cause) {
    // Firefox throws a string.
    const message = cause instanceof Error ? cause.message : String(cause);
    if (!NO_ROOM.test(message)) throw cause;
    throw new VakError("unsupported", `The engine has no room for the program: ${message.slice(0, 200)}.`, { cause });
  }
}

/** What Chromium, Firefox and WebKit say of a memory or table that they cannot make. */
const NO_ROOM = /out of memory|allocat/i;

/** Without a prototype there is no `constructor` for a guest to import. */
const nullRecord = <T>(): Record<string, T> => Object.create(null) as Record<string, T>;

function enter(entry: unknown, wait: WaitMode, args: number[]): Promise<unknown> | unknown {
  const fn = entry as (...args: number[]) => unknown;
  return wait === "jspi" ? WebAssembly.promising(fn)(...args) : fn(...args);
}

/** Engines name their traps in words of their own: Chromium's, Firefox's, then WebKit's. */
const TRAP_MESSAGES: [Trap, RegExp][] = [
  ["stack", /call stack size|too much recursion/i],
  ["unreachable", /unreachable/i],
  ["divide", /(divide|division|remainder) by zero/i],
  ["overflow", /unrepresentable|integer overflow|invalid conversion to integer|out of bounds trunc/i],
  ["out-of-bounds", /out of bounds|out-of-bounds|outside of memory/i],
  ["indirect-call", /function signature|null function|indirect call|call_indirect/i],
  ["null-reference", /null/i],
  ["cast", /cast/i],
  ["memory", /out of memory|allocat/i],
];

function trapOf(error: unknown): { trap: Trap; message: string } {
  const message = error instanceof Error ? error.message.slice(0, 1000) : "";
  if (error instanceof AbiError) return { trap: "abi", message };
  if (error instanceof WebAssembly.Exception) return { trap: "exception", message: "an exception was not caught" };
  return { trap: TRAP_MESSAGES.find(([, pattern]) => pattern.test(message))?.[0] ?? "other", message };
}
