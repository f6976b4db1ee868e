import { WASI_IMPORTS } from "./wasi/imports.ts";

/**
 * What a host function returns to end the run there and then. No errno and no length is this number.
 */
export const TRAP = -0x8000_0000;

/**
 * A small module that stands between the guest and every function it imports, because a JavaScript exception is no way
 * to stop a guest: its `catch_all` catches one. The gate's functions are wasm. Where the host answers {@link TRAP}, or
 * the function never returns (`proc_exit`), they run into `unreachable`, and a trap cannot be caught.
 *
 * Imports `host.NAME` (each with an i32 result), exports `NAME` with the type that the guest expects; for the names that
 * are wanted.
 */
export function gateModule(wanted: ReadonlySet<string>): Uint8Array<ArrayBuffer> {
  const all = Object.values(WASI_IMPORTS).flatMap((names) => Object.entries(names));
  const functions = all.filter(([name]) => wanted.has(name));
  const types = functions.flatMap(([, { params, result }]) => [
    funcType(params, true), // the host's side
    funcType(params, result), // the guest's side
  ]);
  const imports = functions.map(([name], i) => [...text("host"), ...text(name), 0x00, ...leb(2 * i)]);
  const definitions = functions.map((_, i) => leb(2 * i + 1));
  const exports = functions.map(([name], i) => [...text(name), 0x00, ...leb(functions.length + i)]);
  const bodies = functions.map(([, { params, result }], i) => {
    const forward = [...params].flatMap((_, local) => [LOCAL_GET, ...leb(local)]);
    const answer = params.length;
    const code = result
      ? [CALL, ...leb(i), LOCAL_TEE, ...leb(answer), I32_CONST, ...MIN_I32, I32_EQ, IF, VOID, UNREACHABLE, END]
      : [CALL, ...leb(i), DROP, UNREACHABLE];
    const tail = result ? [LOCAL_GET, ...leb(answer), END] : [END];
    const body = [1, 1, I32, ...forward, ...code, ...tail];
    return [...leb(body.length), ...body];
  });
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, types),
    ...section(2, imports),
    ...section(3, definitions),
    ...section(7, exports),
    ...section(10, bodies),
  ]);
}

const [I32, I64] = [0x7f, 0x7e];
const [UNREACHABLE, IF, END, CALL, DROP, LOCAL_GET, LOCAL_TEE, I32_CONST, I32_EQ] = [
  0x00, 0x04, 0x0b, 0x10, 0x1a, 0x20, 0x22, 0x41, 0x46,
];
const VOID = 0x40;
const MIN_I32 = [0x80, 0x80, 0x80, 0x80, 0x78];

function leb(value: number): number[] {
  const out: number[] = [];
  do {
    const low = value & 0x7f;
    value >>>= 7;
    out.push(value ? low | 0x80 : low);
  } while (value);
  return out;
}

const text = (string: string): number[] => [...leb(string.length), ...new TextEncoder().encode(string)];

const funcType = (params: string, result: boolean): number[] => [
  0x60,
  ...leb(params.length),
  ...[...params].map((type) => (type === "I" ? I64 : I32)),
  ...(result ? [1, I32] : [0]),
];

const section = (id: number, items: number[][]): number[] => {
  const content = [...leb(items.length), ...items.flat()];
  return [id, ...leb(content.length), ...content];
};
