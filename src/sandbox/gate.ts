/** A small module between the guest and every function that it imports, so that the host can stop a guest for good. */
import * as External from "../wasm/external.ts";
import { signed, unsigned } from "../wasm/leb128.ts";
import * as Op from "../wasm/opcode.ts";
import { PREAMBLE } from "../wasm/preamble.ts";
import * as Section from "../wasm/section.ts";
import * as Type from "../wasm/type.ts";
import { Writer } from "../wasm/writer.ts";
import { WASI_IMPORTS } from "./wasi/imports.ts";

/**
 * What a host function returns to end the run there and then. It is neither an errno nor a length.
 */
export const TRAP = -0x8000_0000;

/**
 * A JavaScript exception cannot stop a guest: its `catch_all` catches one. The gate's functions are WebAssembly. Where
 * the host answers {@link TRAP}, or the function never returns (`proc_exit`), they run into `unreachable`, and a trap
 * cannot be caught.
 *
 * The module imports `host.NAME`, each with an i32 result, and exports `NAME` with the type that the guest expects.
 *
 * @param wanted the names that the guest imports
 */
export function gateModule(wanted: ReadonlySet<string>): Uint8Array<ArrayBuffer> {
  const all = Object.values(WASI_IMPORTS).flatMap((names) => Object.entries(names));
  const functions = all.filter(([name]) => wanted.has(name));
  const types = functions.flatMap(([, { params, result }]) => [
    funcType(params, true), // the host's side
    funcType(params, result), // the guest's side
  ]);
  const imports = functions.map(([name], i) => [...text("host"), ...text(name), External.func, ...unsigned(2 * i)]);
  const definitions = functions.map((_, i) => unsigned(2 * i + 1));
  const exports = functions.map(([name], i) => [...text(name), External.func, ...unsigned(functions.length + i)]);
  const bodies = functions.map(([, { params, result }], i) => {
    const forward = [...params].flatMap((_, local) => [Op.localGet, ...unsigned(local)]);
    const answer = unsigned(params.length);
    const call = [Op.call, ...unsigned(i)];
    const trapIfAsked = [Op.i32Const, ...signed(TRAP), Op.i32Eq, Op.if, Type.empty, Op.unreachable, Op.end];
    const code = result
      ? [...call, Op.localTee, ...answer, ...trapIfAsked, Op.localGet, ...answer]
      : [...call, Op.drop, Op.unreachable];
    const body = [1, 1, Type.i32, ...forward, ...code, Op.end];
    return [...unsigned(body.length), ...body];
  });
  const module = new Writer().raw(PREAMBLE);
  for (const [id, items] of [
    [Section.type, types],
    [Section.import, imports],
    [Section.function, definitions],
    [Section.export, exports],
    [Section.code, bodies],
  ] as const) {
    module.section(id, new Writer().vector(items.length, items.flat()).written());
  }
  return Uint8Array.from(module.written());
}

const text = (string: string): Uint8Array => new Writer().name(string).written();

const funcType = (params: string, result: boolean): number[] => [
  Type.func,
  ...unsigned(params.length),
  ...[...params].map((type) => (type === "I" ? Type.i64 : Type.i32)),
  ...(result ? [1, Type.i32] : [0]),
];
