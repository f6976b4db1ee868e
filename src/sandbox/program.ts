import type { Limits } from "../limits.ts";
import { attach, instrument, type Meter, RESERVED_PREFIX } from "../meter/index.ts";
import type { Admitted, Outcome, RunEnd, RunRequest, Trap, WaitMode, WorkerMessage } from "../protocol.ts";
import { type Bridge, Halt } from "./bridge.ts";
import { Outlet } from "./devices.ts";
import { Errno } from "./errno.ts";
import { gateModule } from "./gate.ts";
import { WASI_IMPORTS } from "./imports.ts";
import { GuestMemory } from "./memory.ts";
import type { Volume } from "./vfs.ts";
import { createProcess, type Process } from "./wasi.ts";

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
    reactor: !metered.exports.some(({ name }) => name === "_start"),
    imports: metered.imports.map(({ module, name }) => ({ module, name })),
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
  /** Being compiled, so that no run has to wait for it. */
  gate: Promise<WebAssembly.Module>;
}

export function load(program: Admitted): Loaded {
  const wanted = new Set(program.imports.map(({ name }) => name));
  return { ...program, gate: WebAssembly.compile(gateModule(wanted)) };
}

/** A program's instance, and what is the host's of it. */
interface Instance {
  exports: WebAssembly.Exports;
  memory: GuestMemory;
  process: Process;
}

/**
 * The one who runs a program. A command gets a fresh instance for each run; a reactor keeps its instance from call to
 * call, until one does not return.
 */
export class Runner {
  private readonly limits: Limits;
  private readonly volume: Volume;
  private readonly bridge: Bridge;
  private readonly post: (message: WorkerMessage, transfer?: Transferable[]) => void;
  private kept: Instance | undefined;

  constructor(
    limits: Limits,
    volume: Volume,
    bridge: Bridge,
    post: (message: WorkerMessage, transfer?: Transferable[]) => void,
  ) {
    this.limits = limits;
    this.volume = volume;
    this.bridge = bridge;
    this.post = post;
  }

  /** Runs an admitted program, or calls a function of it, to its end. Never throws for what the guest does. */
  async execute(program: Loaded, request: RunRequest): Promise<RunEnd> {
    const { limits, volume, bridge } = this;
    const outlet = new Outlet(limits.outputBytes, (fd, bytes) =>
      this.post({ vak: "output", run: request.run, fd, bytes }, [bytes.buffer]),
    );
    const before = this.kept;
    this.kept = undefined;
    const memory = before?.memory ?? new GuestMemory();
    const process = before?.process ?? createProcess(limits, volume, memory, bridge);
    process.begin(request, outlet);
    const run = (exported: unknown, ...args: number[]) => enter(exported, bridge.wait, args);
    let meter: Meter | undefined;
    let outcome: Outcome;
    let kept: Instance | undefined;
    try {
      const exports = before?.exports ?? link(program, await program.gate, process, bridge.wait);
      memory.attach(exports.memory);
      meter = attach(exports, { fuel: limits.fuel, slice: FIRST_SLICE });
      const slices = slicing(meter, bridge);
      process.attach(meter, slices.pace);
      meter.refillWith(slices.refill);
      if (!before && program.start !== null) await run(exports[program.start]);
      if (!request.call) {
        await run(exports._start);
        outcome = { status: "exited", exitCode: 0 };
      } else {
        if (!before && exports._initialize) await run(exports._initialize);
        outcome = { status: "exited", exitCode: 0, value: await call(exports, memory, limits, request.call, run) };
        kept = { exports, memory, process };
      }
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
    else this.kept = kept;
    outlet.flush();
    if (!this.kept) process.close();
    const { fileBytes } = volume;
    return { outcome, fuel: meter?.used ?? 0, memoryBytes: memory.byteLength, fileBytes, files: volume.sha256() };
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

function refuse(message: string): never {
  throw new AbiError(message);
}

/** Work between two looks at what the kernel wants, ms; and in units, at first and at least. */
const SLICE_MS = 4;
const FIRST_SLICE = 1_000_000;
const LEAST_SLICE = 10_000;

/**
 * Cuts the budget into slices of about {@link SLICE_MS}. `refill` is called from the guest's own checks when one is used
 * up: it listens to the kernel, and grants the next. `pace` ends a slice early that system calls have made long. How the
 * slices are cut shows in nothing that the guest can see.
 */
function slicing(meter: Meter, bridge: Bridge): { refill: (() => void) | object; pace: () => void } {
  let slice = FIRST_SLICE;
  let began = performance.now();
  const grant = () => {
    if (bridge.asked) meter.stop();
    else meter.grant(slice);
    began = performance.now();
  };
  const refill = () => {
    // All that was budgeted is granted already: it is spent.
    if (meter.exhausted) return;
    const took = performance.now() - began;
    slice = Math.max(LEAST_SLICE, Math.min(slice * 4, (slice * SLICE_MS) / Math.max(took, 0.01)));
    const heard = bridge.listen();
    return heard instanceof Promise ? heard.then(grant) : grant();
  };
  const pace = () => {
    if (performance.now() - began > SLICE_MS) meter.recall();
  };
  return { refill: bridge.wait === "jspi" ? new WebAssembly.Suspending(refill) : refill, pace };
}

/** Instantiates the gate over the host's functions, and the program over the gate's. */
function link(program: Admitted, gate: WebAssembly.Module, process: Process, wait: WaitMode): WebAssembly.Exports {
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
  return new WebAssembly.Instance(program.module, imports).exports;
}

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
