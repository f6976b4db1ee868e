/** Admission of a program: it is metered, its imports and exports are checked, and it is compiled. */
import type { Limits } from "../limits.ts";
import { COST_TABLE, instrument, METER_VERSION } from "../meter/index.ts";
import { meteredLimits } from "../protocol/compiled.ts";
import type { Admitted } from "../protocol/messages.ts";
import { ON_PAGE } from "./instance.ts";
import { WASI_IMPORTS } from "./wasi/imports.ts";

/**
 * Version of what a guest can observe of the sandbox: system calls, clock, random numbers. Raise it when that changes.
 */
const SANDBOX_VERSION = 2;

/** What a run depends on besides its program and its input: the same machine executes it in the same way. */
export const MACHINE = `${COST_TABLE}/${METER_VERSION}/${SANDBOX_VERSION}`;

const VALTYPE: Record<string, string> = { i: "i32", I: "i64" };

/**
 * Admits and compiles a program.
 *
 * @param finish changes the metered module before it is compiled
 * @throws VakError `invalid-module` that says what is wrong and where
 */
export async function compile(
  bytes: Uint8Array,
  limits: Limits,
  finish = (metered: Uint8Array<ArrayBuffer>) => metered,
): Promise<Admitted> {
  const metered = instrument(bytes, { fuel: true, resumable: true, nan: true, ...meteredLimits(limits) });
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
      "The program has no entry point. A WASI command exports the function _start; " +
        "a reactor, whose functions agent.call calls, exports memory and the function alloc.",
    );
  }
  const memory = kind("memory");
  if (memory !== undefined && memory !== "memory") {
    throw new Error(`The program exports a ${memory} under the name "memory", where WASI wants its memory.`);
  }
}
