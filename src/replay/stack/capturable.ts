/**
 * Makes the call stack of a metered command capturable. JavaScript cannot read a WebAssembly stack, so the guest's own
 * functions write their frames into its memory and return, one after the other (unwinding), and later load them and
 * resume where they were (rewinding). Only for replays: it costs time and code. The guest cannot observe it.
 *
 * **Where.** At a check of the meter, when the host is asked for more fuel: no system call is in progress there.
 * Functions that only count are left as they are; while one of those asks, `here` is 0, and the host must not unwind.
 *
 * **How.** A `site` is a call that may be on the stack then. After it, a function checks whether the stack unwinds: if
 * so, it stores operands, locals and the site's number at the `pointer`, and returns. On entry it checks whether the
 * stack rewinds: if so, it loads them, jumps to the site, and calls again. To make that jump possible, each body that
 * holds sites, or blocks with sites, opens one block for each of them at its beginning, and closes it in front of it.
 *
 * The memory below the frames is the guest's: the host saves it, and restores it before the guest resumes.
 */
import * as External from "../../wasm/external.ts";
import * as Op from "../../wasm/opcode.ts";
import { PREAMBLE } from "../../wasm/preamble.ts";
import { Reader } from "../../wasm/reader.ts";
import * as Section from "../../wasm/section.ts";
import * as Type from "../../wasm/type.ts";
import { Writer } from "../../wasm/writer.ts";
import { AddedTypes } from "./added-types.ts";
import { BodyReader, NOTHING_CHOSEN } from "./body-reader.ts";
import { chooseFunctions } from "./choosing.ts";
import { HERE_EXPORT, LOAD_EXPORT, POINTER_EXPORT, SAVE_EXPORT, STATE_EXPORT } from "./exports.ts";
import { FunctionWriter, type Globals } from "./function-writer.ts";
import { MeteredModule } from "./metered-module.ts";
import { Uncapturable } from "./uncapturable.ts";
import { LOAD, SIZE, STORE } from "./value.ts";

export interface Capturable {
  bytes: Uint8Array<ArrayBuffer>;
  /** Bytes that {@link SAVE_EXPORT} writes at address 0, and {@link LOAD_EXPORT} reads there: the mutable globals. */
  globalBytes: number;
  /** Bytes that a frame may take besides 8 for each word that the meter counts for it. */
  frameExtra: number;
}

/**
 * Rewrites a metered module; a reactor only so that its globals can be saved.
 *
 * @returns undefined if its stack cannot be captured: with exceptions, tail calls, references in locals, tables that
 *   change, no memory or several
 */
export function makeCapturable(bytes: Uint8Array<ArrayBuffer>): Capturable | undefined {
  try {
    return rewrite(new MeteredModule(bytes));
  } catch (error) {
    // A RangeError: blocks that are nested too deeply to be read here.
    if (error instanceof Uncapturable || error instanceof RangeError) return undefined;
    throw error;
  }
}

function rewrite(metered: MeteredModule): Capturable {
  const { module, bytes, bodies } = metered;
  // A reactor has no stack between two calls, and within one it is not captured.
  const chosen = metered.start >= 0 ? chooseFunctions(metered) : NOTHING_CHOSEN;
  const first = module.globalCount;
  const globals: Globals = { state: first, pointer: first + 1, here: first + 2 };
  const types = new AddedTypes(module.types.length);
  const writer = new FunctionWriter(metered, new BodyReader(metered, chosen), chosen.more, types, globals);
  const code = new Writer(bytes.length * 2);
  code.unsigned(bodies.length + 2);
  bodies.forEach(([start, end], i) => {
    const index = module.importedFunctions + i;
    if (chosen.functions.has(index)) writer.write(index, start, end, code);
    else code.unsigned(end - start).copy(bytes, start, end);
  });
  const globalBytes = writeGlobalFunctions(metered, code);
  return { bytes: assemble(metered, code, types, globals), globalBytes, frameExtra: writer.frameExtra };
}

/** The functions that write the mutable globals at address 0, and read them back, bit by bit. @returns their bytes */
function writeGlobalFunctions({ globals }: MeteredModule, code: Writer): number {
  const save = new Writer().byte(0);
  const load = new Writer().byte(0);
  let at = 0;
  globals.forEach(({ type, mutable }, index) => {
    if (!mutable) return;
    save.raw([Op.i32Const, 0, Op.globalGet]).unsigned(index).raw(STORE[type]!).byte(0).unsigned(at);
    load.raw([Op.i32Const, 0]).raw(LOAD[type]!).byte(0).unsigned(at).byte(Op.globalSet).unsigned(index);
    at += SIZE[type]!;
  });
  for (const body of [save, load]) {
    body.byte(Op.end);
    code.vector(body.length, body.written());
  }
  return at;
}

/** The module's own sections with the new code, and with what is added to the others. */
function assemble(
  { module, bytes }: MeteredModule,
  code: Writer,
  types: AddedTypes,
  { state, pointer, here }: Globals,
): Uint8Array<ArrayBuffer> {
  const nothing = types.indexOf([], []);
  const functions = module.functions.length;
  const exported: [name: string, kind: number, index: number][] = [
    [STATE_EXPORT, External.global, state],
    [POINTER_EXPORT, External.global, pointer],
    [HERE_EXPORT, External.global, here],
    [SAVE_EXPORT, External.func, functions],
    [LOAD_EXPORT, External.func, functions + 1],
  ];
  const global = [Type.i32, 1, Op.i32Const, 0, Op.end];
  const exports = new Writer();
  for (const [name, kind, index] of exported) exports.name(name).byte(kind).unsigned(index);
  const additions: Record<number, [count: number, bytes: ArrayLike<number>]> = {
    [Section.type]: [types.count, types.written()],
    [Section.function]: [2, new Writer().unsigned(nothing).unsigned(nothing).written()],
    [Section.global]: [3, [...global, ...global, ...global]],
    [Section.export]: [exported.length, exports.written()],
  };

  const out = new Writer(code.length + bytes.length).raw(PREAMBLE);
  for (const { id, start, end } of module.sections) {
    // Branch hints and names describe other bytes.
    if (id === Section.custom) continue;
    const added = additions[id];
    if (id === Section.code) out.section(id, code.written());
    else if (!added) out.section(id, bytes.subarray(start, end));
    else {
      const reader = new Reader(bytes, start, end);
      const contents = new Writer(end - start + added[1].length + 8);
      contents.unsigned(reader.u32() + added[0]).copy(bytes, reader.pos, end);
      out.section(id, contents.raw(added[1]).written());
    }
  }
  return new Uint8Array(out.written());
}
