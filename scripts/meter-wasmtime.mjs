/**
 * Compares the meter's fuel with what Wasmtime uses, according to its own test suite.
 *
 *   npm run wasmtime -- FILE [chromium] [firefox]
 *
 * FILE is `tests/all/fuel.wast` of bytecodealliance/wasmtime: `(assert_fuel N (module …))` states the units that
 * instantiating the module takes. The reference interpreter assembles what wabt cannot (garbage collection): `wasm` on
 * the PATH, or the program that the environment variable WASM names.
 *
 * Newer versions of Wasmtime compile instantiation itself and charge for it: a function that calls the start function,
 * and arrays in constant expressions. The meter bounds those instead. The file's module with an empty start function
 * shows which version it is; the difference is added to the meter's count, and reported.
 *
 * Exits with 1 if anything differs, or if a module could not be run.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import loadWabt from "wabt";
import { watFeatures } from "./guests.mjs";
import { bundle, launch } from "./meter-page.mjs";

const [file, ...engines] = process.argv.slice(2);
if (!file) {
  console.error("usage: npm run wasmtime -- FILE [chromium] [firefox]");
  console.error("FILE: tests/all/fuel.wast of bytecodealliance/wasmtime");
  process.exit(2);
}

/** @typedef {{ line: number, fuel: number, text: string }} Assertion */

/** @param {string} source @returns {Assertion[]} */
function parse(source) {
  const assertions = [];
  // Strings and comments are one token each, so that parentheses in them do not count.
  const token = /"(?:[^"\\]|\\.)*"|;;.*|\(;[\s\S]*?;\)|[()]|assert_fuel\s+(\d+)/g;
  let depth = 0;
  let start = 0;
  let module = 0;
  let fuel = -1;
  for (const match of source.matchAll(token)) {
    if (match[1] !== undefined && depth === 1) fuel = Number(match[1]);
    if (match[0] === "(") {
      if (depth === 0) start = match.index;
      if (depth === 1) module = match.index;
      depth++;
    } else if (match[0] === ")") {
      depth--;
      if (depth > 0) continue;
      if (depth < 0 || fuel < 0) throw new Error(`${file}: not an assert_fuel at character ${start}`);
      const line = source.slice(0, start).split("\n").length;
      assertions.push({ line, fuel, text: source.slice(module, match.index) });
      fuel = -1;
    }
  }
  if (depth !== 0 || assertions.length === 0) throw new Error(`${file} is not a list of (assert_fuel N (module …))`);
  return assertions;
}

const wabt = await loadWabt();

/** @param {string} text @returns {Uint8Array} */
function assemble(text) {
  try {
    const module = wabt.parseWat("assertion.wat", text, watFeatures);
    const { buffer } = module.toBinary({});
    module.destroy();
    return buffer;
  } catch {
    const directory = mkdtempSync(join(tmpdir(), "vak-wasmtime-"));
    try {
      const [from, to] = [join(directory, "module.wat"), join(directory, "module.wasm")];
      writeFileSync(from, text);
      execFileSync(process.env.WASM ?? "wasm", ["-d", from, "-o", to], { stdio: "pipe" });
      return readFileSync(to);
    } finally {
      rmSync(directory, { recursive: true });
    }
  }
}

/**
 * What instantiation costs beyond the start function: calling it, and what constant expressions allocate.
 *
 * @param {string} text @param {boolean} charged whether this Wasmtime charges for it
 */
function instantiation(text, charged) {
  if (!charged) return 0;
  const arrays = [...text.matchAll(/\(array\.new_default \S+ \(i32\.const (\d+)\)\)/g)];
  const start = /\(start\b/.test(text) ? 1 : 0;
  const entry = start || arrays.length > 0 ? 1 : 0;
  return entry + start + arrays.reduce((sum, [, length]) => sum + 2 + Number(length), 0);
}

/**
 * Runs in the page: the fuel of each module's start function, or why there is none, with each option set.
 *
 * @param {number[][]} modules
 */
function run(modules) {
  const { meter } = /** @type {{ meter: typeof import("../src/meter/index.ts") }} */ (
    /** @type {unknown} */ (globalThis)
  );
  const sets = [{}, { resumable: true }, { stackDepth: 30_000 }, { resumable: true, stackDepth: 30_000, nan: true }];
  return modules.map((bytes) => {
    const counts = sets.map((options) => {
      try {
        const metered = meter.instrument(new Uint8Array(bytes), { fuel: true, ...options });
        const { exports } = new WebAssembly.Instance(new WebAssembly.Module(metered.bytes));
        const host = meter.attach(exports, { fuel: Number.MAX_SAFE_INTEGER });
        try {
          if (metered.start) /** @type {() => void} */ (exports[metered.start])();
        } catch (error) {
          if (!(error instanceof WebAssembly.RuntimeError)) throw error;
        }
        return host.used;
      } catch (error) {
        return String(error);
      }
    });
    return counts.every((count) => count === counts[0]) ? counts[0] : `differs between options: ${counts}`;
  });
}

const assertions = parse(readFileSync(file, "utf8"));
const empty = assertions.find(({ text }) => /^\(module\s*\(func \$f\)\s*\(start \$f\)\)$/.test(text));
if (!empty) throw new Error(`${file} has no module with an empty start function, which shows what it counts`);
const charged = empty.fuel > 1;
const modules = [];
let missing = 0;
for (const { line, text } of assertions) {
  try {
    modules.push([...assemble(text)]);
  } catch (error) {
    missing++;
    modules.push(undefined);
    const reason = String(/** @type {Error} */ (error).message).split("\n", 1)[0];
    console.log(`${file}:${line} was not run: ${reason} (is the reference interpreter on the PATH, or named by WASM?)`);
  }
}
const meter = await bundle();

let failed = missing > 0;
for (const engine of engines.length ? engines : ["chromium", "firefox"]) {
  const browser = await launch(engine);
  const page = await browser.newPage();
  await page.addScriptTag({ content: `${meter}; globalThis.meter = meter;` });
  const counts = await page.evaluate(
    (/** @type {[string, number[][]]} */ [source, list]) => new Function(`return ${source}`)()(list),
    /** @type {[string, number[][]]} */ ([run.toString(), modules.map((bytes) => bytes ?? [])]),
  );
  await browser.close();
  let equal = 0;
  let different = 0;
  for (const [n, { line, fuel, text }] of assertions.entries()) {
    if (!modules[n]) continue;
    const expected = fuel - instantiation(text, charged);
    if (counts[n] === expected) equal++;
    else {
      different++;
      console.log(`${engine}: ${file}:${line}: Wasmtime ${expected}, the meter ${counts[n]}`);
    }
  }
  const told = charged ? ", less what Wasmtime charges for instantiation" : "";
  console.log(`${engine}: ${equal} equal to Wasmtime's number${told}; ${different} differences; ${missing} not run`);
  failed ||= different > 0;
}
process.exit(failed ? 1 : 0);
