/**
 * Builds the test programs: test/guests/NAME.wat and NAME.c to test/guests/out/NAME.wasm, those that changed. Tests
 * do so when they start; `node scripts/guests.mjs` does it by hand.
 */

import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, extname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const guests = new URL("../test/guests/", import.meta.url);
const out = new URL("out/", guests);
const record = new URL("built.json", out);

/** wabt 1.0.39 supports neither GC nor `call_ref`. */
export const watFeatures = {
  bulk_memory: true,
  exceptions: true,
  extended_const: true,
  memory64: true,
  multi_memory: true,
  mutable_globals: true,
  multi_value: true,
  reference_types: true,
  relaxed_simd: true,
  sat_float_to_int: true,
  sign_extension: true,
  simd: true,
  tail_call: true,
  threads: true,
};

const clangFlags = ["--target=wasm32-wasip1", "-O2", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-Wl,--strip-all"];

/**
 * Builds the guests that changed.
 *
 * @returns {Promise<{ built: string[], total: number }>} the names of the guests that were built
 * @throws {Error} if a guest does not compile, with the compiler's messages
 */
export async function buildGuests() {
  await mkdir(out, { recursive: true });
  const names = await readdir(guests);
  const sources = names.filter((name) => [".wat", ".c"].includes(extname(name)));
  /** @type {Record<string, Uint8Array>} */
  const headers = {};
  for (const name of names.filter((name) => extname(name) === ".h")) {
    headers[name] = await readFile(new URL(name, guests));
  }
  const tools = createHash("sha256").update(await readFile(fileURLToPath(import.meta.url)));
  for (const tool of ["wabt", "@yowasp/clang"]) {
    tools.update(await readFile(new URL(`../node_modules/${tool}/package.json`, import.meta.url)));
  }
  for (const [name, header] of Object.entries(headers)) tools.update(name).update(header);

  /** @type {Record<string, string>} */
  const before = JSON.parse(await readFile(record, "utf8").catch(() => "{}"));
  /** @type {Record<string, string>} */
  const after = {};
  const present = new Set(await readdir(out));
  const built = [];
  for (const name of sources) {
    const source = await readFile(new URL(name, guests));
    const target = `${basename(name, extname(name))}.wasm`;
    if (target in after) throw new Error(`${target} would be built from two sources: rename one of them`);
    const hash = tools.copy().update(source).digest("hex");
    after[target] = hash;
    present.delete(target);
    if (before[target] === hash && (await readFile(new URL(target, out)).catch(() => null))) continue;
    const program = name.endsWith(".c") ? await compileC(name, source, headers) : await compileWat(name, source);
    await replace(new URL(target, out), program);
    built.push(name);
  }
  for (const stale of present) if (stale.endsWith(".wasm")) await rm(new URL(stale, out), { force: true });
  if (built.length || Object.keys(before).length !== sources.length) {
    await replace(record, new TextEncoder().encode(JSON.stringify(after, null, 1)));
  }
  return { built, total: sources.length };
}

/**
 * Writes a file in one step, because another build may run at the same time and must not read half of it.
 *
 * @param {URL} path
 * @param {Uint8Array} bytes
 */
async function replace(path, bytes) {
  const part = new URL(`${path.href}.${process.pid}.part`);
  await writeFile(part, bytes);
  await rename(part, path);
}

/**
 * @param {string} name
 * @param {Uint8Array} source
 */
async function compileWat(name, source) {
  const { default: load } = await import("wabt");
  const wabt = await load();
  const module = wabt.parseWat(name, source, watFeatures);
  try {
    /** @type {any} */ (module).validate(watFeatures); // wabt's types lack the argument
    return module.toBinary({}).buffer;
  } finally {
    module.destroy();
  }
}

/**
 * @param {string} name
 * @param {Uint8Array} source
 * @param {Record<string, Uint8Array>} headers
 * @returns {Promise<Uint8Array>}
 */
async function compileC(name, source, headers) {
  const { commands, runLLVM, Exit } = await import("@yowasp/clang");
  await runLLVM(undefined, {}, { fetchProgress: () => {} }); // loads the compiler without reporting on it
  let messages = "";
  const decoder = new TextDecoder();
  const print = (/** @type {Uint8Array | null} */ bytes) => {
    if (bytes) messages += decoder.decode(bytes, { stream: true });
  };
  try {
    const files = await commands.clang?.(
      [...clangFlags, ...(name.startsWith("reactor") ? ["-mexec-model=reactor"] : []), name, "-o", "out.wasm"],
      { ...headers, [name]: source },
      { stdout: print, stderr: print, decodeASCII: false },
    );
    const program = files?.["out.wasm"];
    if (program instanceof Uint8Array) return program;
    throw new Error(`clang wrote no output for ${name}\n${messages}`);
  } catch (error) {
    if (error instanceof Exit) throw new Error(`${name} does not compile\n${messages}`);
    throw error;
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { built, total } = await buildGuests();
  console.log(`guests: ${built.length} built, ${total - built.length} up to date`);
}
