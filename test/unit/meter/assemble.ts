/** Assembles WebAssembly text, for tests. */
import loadWabt from "wabt";

const features = {
  exceptions: true,
  mutable_globals: true,
  sat_float_to_int: true,
  sign_extension: true,
  simd: true,
  threads: true,
  multi_value: true,
  tail_call: true,
  bulk_memory: true,
  reference_types: true,
  memory64: true,
  extended_const: true,
  relaxed_simd: true,
  multi_memory: true,
};

const wabt = await loadWabt();

/** Assembles the text format, without validating it. */
export function wat(text: string): Uint8Array<ArrayBuffer> {
  const module = wabt.parseWat("test.wat", text, features);
  try {
    return new Uint8Array(module.toBinary({}).buffer);
  } finally {
    module.destroy();
  }
}

const leb = (value: number): number[] => (value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >>> 7)]);

/** A section from its id and contents, and a module from its sections: for modules that no assembler would write. */
export const section = (id: number, contents: number[]): number[] => [id, ...leb(contents.length), ...contents];
export const binary = (...sections: number[][]): Uint8Array<ArrayBuffer> =>
  new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...sections.flat()]);
export const custom = (name: string, ...contents: number[]): number[] =>
  section(0, [name.length, ...new TextEncoder().encode(name), ...contents]);

/** The flat text of a module, one instruction per line. */
export function disassemble(bytes: Uint8Array): string {
  const module = wabt.readWasm(bytes, features);
  try {
    return module.toText({ foldExprs: false, inlineExport: false });
  } finally {
    module.destroy();
  }
}
