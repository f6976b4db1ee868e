/**
 * Random modules do the same plain and metered (results, logs, memory, traps), and use the fuel that the oracle counts.
 *
 *   npm run fuzz:meter [-- COUNT [SEED]]
 *
 * Binaryen makes the modules: `wasm-opt` on the PATH, or the program that the environment variable WASM_OPT names (it
 * is in Debian's package `binaryen`, and in npm's, which is too large to be a dependency). The same SEED and the same
 * version make the same modules. COUNT is 1500 by default.
 *
 * Exits with 1 if anything differs, and says where it kept the module.
 */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

/** @typedef {{ fuel?: boolean, resumable?: boolean, nan?: boolean, stackDepth?: number }} Options */
/** @typedef {{ name: string, params: string[] }} Entry */
/** @typedef {{ results: string[], fuel: number[], exhausted: boolean, used: number }} Outcome */
/**
 * `start`: the start function, where instantiation has not run it.
 *
 * @typedef {{ exports: WebAssembly.Exports, start?: string, used: () => number, exhausted: () => boolean }} Instance
 */

const WASM_OPT = process.env.WASM_OPT ?? "wasm-opt";
const [count = 1500, seed = 1] = process.argv.slice(2).map(Number);
if (!Number.isSafeInteger(count) || !Number.isSafeInteger(seed) || count < 1) {
  console.error("usage: npm run fuzz:meter [-- COUNT [SEED]]");
  process.exit(2);
}

const root = fileURLToPath(new URL("..", import.meta.url));
const version = wasmOptVersion();
const { instrument, attach, countNaively, disassemble } = await load();
const directory = mkdtempSync(join(tmpdir(), "vak-fuzz-"));
const found = join(root, "node_modules/.cache/vak/fuzz");

/** Features that Node 20, the meter, and wabt, which the oracle uses, all support. */
const FEATURES = [
  ...["bulk-memory", "extended-const", "multivalue", "mutable-globals", "nontrapping-float-to-int"],
  ...["sign-ext", "simd", "tail-call"],
  // Old versions make reference types, and new ones exceptions, that Node 20 does not support.
  Number(/\d+/.exec(version)) < 117 ? "exception-handling" : "reference-types",
];

/** With NaNs left alone, these must do what plain does; with canonical NaNs, the same as each other. */
/** @type {[Options, number?][]} */
const PLAIN_SETS = [[{}], [{ resumable: true }, 7], [{ resumable: true, stackDepth: 1_000_000 }, 1000]];
/** @type {[Options, number?][]} */
const NAN_SETS = [[{ nan: true }], [{ nan: true, resumable: true, stackDepth: 1_000_000 }, 13]];

const totals = { modules: 0, invalid: 0, calls: 0, fuelCompared: 0, budgets: 0, differences: 0, notRun: 0 };
/** @type {Record<string, number>} */
const ends = {};

for (let n = 0; n < count; n++) {
  const module = makeModule(n);
  if (!WebAssembly.validate(module)) {
    totals.notRun++;
    continue;
  }
  totals.modules++;
  try {
    compare(module, n);
  } catch (error) {
    totals.differences++;
    mkdirSync(found, { recursive: true });
    const kept = join(found, `${seed}-${n}.wasm`);
    copyFileSync(join(directory, "out.wasm"), kept);
    console.log(`${kept}: ${/** @type {Error} */ (error).message}`);
  }
}
rmSync(directory, { recursive: true });

console.log(
  `${totals.modules} random modules of ${version}, seed ${seed} (${totals.notRun} more this engine does not take): ` +
    `${totals.invalid} invalid once metered, ${totals.differences} differences`,
);
console.log(
  `${totals.calls} calls with each of ${PLAIN_SETS.length + NAN_SETS.length} option sets, fuel equal to the oracle's in ` +
    `${totals.fuelCompared} of them (the others end in a trap whose count is not exact), ${totals.budgets} smaller budgets`,
);
console.log(`how the calls ended: ${JSON.stringify(ends)}`);
if (totals.modules < count / 2) console.log("too few of the modules could be run for this to mean anything");
process.exit(totals.differences > 0 || totals.invalid > 0 || totals.modules < count / 2 ? 1 : 0);

function wasmOptVersion() {
  try {
    return execFileSync(WASM_OPT, ["--version"], { encoding: "utf8" }).trim();
  } catch {
    console.error(
      `${WASM_OPT} cannot be run: install Binaryen (Debian: apt install binaryen), or set WASM_OPT to its path`,
    );
    process.exit(1);
  }
}

/** The meter, and the tests' independent counter. */
async function load() {
  const outfile = join(root, "node_modules/.cache/vak/meter-fuzz.mjs");
  const contents = `
    export { attach, instrument } from "./src/meter/index.ts";
    export { countNaively } from "./test/unit/meter/oracle.ts";
    export { disassemble } from "./test/unit/meter/assemble.ts";`;
  const stdin = { contents, resolveDir: root, loader: /** @type {const} */ ("ts") };
  await build({
    stdin,
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    packages: "external",
    logLevel: "error",
  });
  return import(pathToFileURL(outfile).href);
}

/** @param {number} n @returns {Uint8Array<ArrayBuffer>} */
function makeModule(n) {
  const [from, to] = [join(directory, "in"), join(directory, "out.wasm")];
  const random = createHash("shake256", { outputLength: 500 + ((n * 7919) % 12_000) })
    .update(`${seed}/${n}`)
    .digest();
  writeFileSync(from, random);
  // JavaScript can neither pass nor receive vectors: half of the modules do without them.
  const features = n % 2 ? FEATURES.filter((name) => name !== "simd") : FEATURES;
  const options = ["--mvp-features", ...features.map((name) => `--enable-${name}`)];
  execFileSync(WASM_OPT, ["-ttf", from, "-o", to, ...options], { stdio: "pipe" });
  return new Uint8Array(readFileSync(to));
}

/** @param {Uint8Array<ArrayBuffer>} module @param {number} n */
function compare(module, n) {
  const entries = readEntries(disassemble(module));
  const plain = run(entries, (imports) => {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module), imports);
    return { exports, used: () => 0, exhausted: () => false };
  });
  const counted = new WebAssembly.Module(countNaively(module));
  const oracle = runOracle(counted, entries);
  same("the oracle", oracle.results, plain.results);

  totals.calls += plain.results.length;
  for (const result of plain.results) {
    const end = /^(ok|trap|exception|TypeError|RangeError)/.exec(result)?.[0] ?? "other";
    ends[end] = (ends[end] ?? 0) + 1;
  }
  // Calls for which the meter promises the count of the oracle.
  const exact = plain.results.map((result) => !/^trap (?!unreachable)/.test(result));
  totals.fuelCompared += exact.filter(Boolean).length;

  const inexactFuel = new Map();
  for (const [options, slice] of PLAIN_SETS) {
    const where = JSON.stringify({ options, slice });
    const metered = runMetered(module, entries, options, Number.MAX_SAFE_INTEGER, slice);
    same(where, metered.results, plain.results);
    for (const [k, fuel] of metered.fuel.entries()) {
      if (exact[k]) same(`fuel of call ${k}, ${where}`, fuel, oracle.fuel[k]);
      else if (!inexactFuel.has(k)) inexactFuel.set(k, fuel);
      else same(`fuel of call ${k}, which traps, ${where}`, fuel, inexactFuel.get(k));
    }
  }

  const nans = NAN_SETS.map(([options, slice]) => runMetered(module, entries, options, Number.MAX_SAFE_INTEGER, slice));
  for (const [k, outcome] of nans.entries()) same(JSON.stringify(NAN_SETS[k]), outcome, nans[0]);

  const calls = exact.indexOf(false) < 0 ? exact.length : exact.indexOf(false);
  const total = oracle.fuel.slice(0, calls).reduce((sum, fuel) => sum + fuel, 0);
  if (total === 0) return;
  const budget = (n * 104_729) % total;
  totals.budgets++;
  const within = entries.slice(0, calls - 1); // The first call is the start.
  const stopped = runOracle(counted, within, budget);
  for (const [options, slice] of PLAIN_SETS) {
    const metered = runMetered(module, within, options, budget, slice);
    const where = JSON.stringify({ options, slice, budget });
    same(where, metered.exhausted, true);
    same(where, stopped.exhausted, true);
    // Memory and the last result do not matter once the budget is spent.
    same(where, metered.results.length, stopped.results.length);
    same(where, metered.results.slice(0, -1), stopped.results.slice(0, -1));
    same(where, metered.used, budget);
  }
}

/** @param {string} where @param {unknown} actual @param {unknown} expected */
function same(where, actual, expected) {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a === b) return;
  let at = 0;
  while (a[at] === b[at]) at++;
  throw new Error(
    `${where}: …${a.slice(Math.max(0, at - 80), at + 80)}… is not …${b.slice(Math.max(0, at - 80), at + 80)}…`,
  );
}

/** The functions that a module exports, with the types of their parameters. @param {string} text @returns {Entry[]} */
function readEntries(text) {
  /** @type {string[][]} */
  const types = [];
  for (const [, index, params = ""] of text.matchAll(/^ {2}\(type \(;(\d+);\) \(func(?: \(param ([^)]*)\))?/gm)) {
    types[Number(index)] = params.split(" ").filter(Boolean);
  }
  /** @type {Map<string, string[]>} */
  const functions = new Map();
  for (const [, name = "", type] of text.matchAll(/\(func (\S+) \(type (\d+)\)/g)) {
    functions.set(name.replace(/^\(;(\d+);\)$/, "$1"), types[Number(type)] ?? []);
  }
  /** @type {Entry[]} */
  const entries = [];
  for (const [, name = "", index = ""] of text.matchAll(/^ {2}\(export "([^"]*)" \(func (\S+?)\)\)/gm)) {
    const params = functions.get(index);
    if (!params) throw new Error(`the export ${name} is not a known function`);
    if (name !== "hangLimitInitializer") entries.push({ name, params });
  }
  return entries;
}

/** @param {string} type @param {number} k */
function argument(type, k) {
  const small = [0, 1, -7, 65_536, 255][k % 5] ?? 0;
  if (type === "i64") return BigInt(small) << BigInt((k * 13) % 40);
  if (type === "f32" || type === "f64") return [0, -0.5, 1e10, Number.NaN, Number.POSITIVE_INFINITY][k % 5];
  return type === "i32" ? small : null;
}

/**
 * Starts a module, then calls all its exports in turn, until the budget is spent.
 *
 * @param {Entry[]} entries
 * @param {(imports: WebAssembly.Imports) => Instance} start
 * @returns {Outcome}
 */
function run(entries, start) {
  /** @type {string[]} */
  let log = [];
  /** @type {Instance | undefined} */
  let instance;
  const say =
    (/** @type {string} */ what) =>
    (/** @type {unknown[]} */ ...values) => {
      if (!instance?.exhausted()) log.push(`${what} ${values.map(show)}`);
    };
  const imports = new Proxy({}, { get: () => new Proxy({}, { get: (_, name) => say(String(name)) }) });
  /** @type {string[]} */
  const results = [];
  /** @type {number[]} */
  const fuel = [];
  let before = 0;
  const call = (/** @type {() => unknown} */ act) => {
    log = [];
    let end;
    try {
      end = `ok ${show(act())}`;
    } catch (error) {
      end = describe(error);
    }
    const used = instance?.used() ?? 0;
    fuel.push(used - before);
    before = used;
    results.push(`${end}; ${log.join()}; ${hash(instance?.exports.memory)}`);
    return end.startsWith("ok");
  };
  const begun = call(() => {
    instance = start(imports);
    if (instance.start) /** @type {() => void} */ (instance.exports[instance.start])();
  });
  if (!instance || !begun) return { results, fuel, exhausted: instance?.exhausted() ?? false, used: before };

  const { exports, used, exhausted } = /** @type {Instance} */ (instance);
  const functions = /** @type {Record<string, (...args: unknown[]) => unknown>} */ (exports);
  for (const { name, params } of entries) {
    if (exhausted()) break;
    call(() => {
      functions.hangLimitInitializer?.();
      return functions[name]?.(...params.map(argument));
    });
  }
  return { results, fuel, exhausted: exhausted(), used: used() };
}

/** @param {WebAssembly.Module} counted @param {Entry[]} entries @param {number} [budget] */
function runOracle(counted, entries, budget = 2 ** 53) {
  return run(entries, (imports) => {
    const { exports } = new WebAssembly.Instance(counted, imports);
    const oracle = /** @type {Record<string, (limit?: number) => number>} */ (exports);
    oracle["oracle:limit"]?.(budget);
    const used = () => oracle["oracle:used"]?.() ?? 0;
    const start = "oracle:start" in exports ? "oracle:start" : undefined;
    return { exports, ...(start && { start }), used, exhausted: () => used() > budget };
  });
}

/**
 * @param {Uint8Array} module @param {Entry[]} entries @param {Options} options @param {number} budget
 * @param {number} [slice]
 */
function runMetered(module, entries, options, budget, slice) {
  const { bytes, start } = instrument(module, { fuel: true, ...options });
  if (!WebAssembly.validate(bytes)) {
    totals.invalid++;
    throw new Error(`invalid once metered with ${JSON.stringify(options)}`);
  }
  return run(entries, (imports) => {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
    const meter = attach(exports, { fuel: budget, ...(slice && { slice }) });
    if (slice) meter.refillWith(() => void meter.grant(slice));
    return { exports, ...(start && { start }), used: () => meter.used, exhausted: () => meter.exhausted };
  });
}

/** @param {unknown} error */
function describe(error) {
  if (error instanceof WebAssembly.RuntimeError) return `trap ${error.message}`;
  return error instanceof Error ? `${error.name} ${error.message}` : "exception";
}

/** @param {unknown} value @returns {string} */
function show(value) {
  if (Array.isArray(value)) return `[${value.map(show)}]`;
  if (typeof value === "function") return `function ${value.name}`;
  return Object.is(value, -0) ? "-0" : String(value);
}

/** FNV-1a. @param {unknown} memory */
function hash(memory) {
  if (!(memory instanceof WebAssembly.Memory)) return "none";
  let state = 0x811c9dc5;
  for (const byte of new Uint8Array(memory.buffer)) state = Math.imul(state ^ byte, 0x01000193);
  return `${memory.buffer.byteLength} ${state >>> 0}`;
}
