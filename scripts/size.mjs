/**
 * Prints what a page downloads of dist/: bundled with all dependencies, minified, and compressed, with gzip -9 and with
 * Brotli at its best, as CDNs send it. Fails if it is over its budgets, which are in gzip. A KB is 1000 bytes.
 *
 * With `--budgets` it leaves out Brotli, which takes most of the time and has no budgets.
 */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { rolldown } from "rolldown";

const withBrotli = !process.argv.includes("--budgets");
const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * In KB: `core` is what a page imports to create a kernel, without Cedar; `worker` is what the first agent loads;
 * `meter` is the entry `vak/meter`.
 */
const BUDGETS = { core: 45, worker: 32, meter: 12 };

/** @typedef {{ gzip: number, brotli: number }} Size in KB */

/**
 * @param {string | Uint8Array} code
 * @returns {Promise<Size>}
 */
async function sizeOf(code) {
  const params = { [constants.BROTLI_PARAM_SIZE_HINT]: code.length };
  const [gzipped, brotli] = await Promise.all([
    promisify(gzip)(code, { level: 9 }),
    withBrotli ? promisify(brotliCompress)(code, { params }) : { length: NaN },
  ]);
  return { gzip: gzipped.length / 1000, brotli: brotli.length / 1000 };
}
/** @param {string} name */
const file = async (name) => sizeOf(await readFile(`${root}dist/${name}`));
/** @param {{ size: Size }[]} chunks */
const sum = (chunks) => chunks.reduce((total, { size }) => add(total, size), { gzip: 0, brotli: 0 });
/**
 * @param {Size} a
 * @param {Size} b
 */
const add = (a, b, sign = 1) => ({ gzip: a.gzip + sign * b.gzip, brotli: a.brotli + sign * b.brotli });

// Brotli at its best takes seconds for the large files: they are compressed at once, beside each other.
const [page, worker, cedar, cdnModule, cdnScript] = await Promise.all([
  bundle(`${root}dist/index.js`),
  file("worker.js"),
  file("cedar.wasm"),
  file("vak.js"),
  file("vak.global.js"),
]);
const core = sum(page.filter(({ lazy }) => !lazy));
const lazy = page.filter(({ lazy, name }) => lazy && name !== "worker");
const sandbox = sum(await bundle(`${root}src/sandbox/entry.ts`, /\/src\/meter\//));

const rows = [
  { what: "core, on import", size: core },
  { what: "worker, on the first spawn", size: worker },
  { what: "  of which the meter", size: add(worker, sandbox, -1) },
  { what: "both", size: add(core, worker) },
  ...lazy.map(({ name, size }) => ({ what: `lazy: ${name}`, size })),
  { what: "lazy: cedar.wasm", size: cedar },
  { what: "vak.js, for CDNs", size: cdnModule },
  { what: "vak.global.js, for CDNs", size: cdnScript },
];
for (const name of ["approval", "audit", "fetch", "meter", "policies", "python", "replay"]) {
  const chunks = await bundle(`${root}dist/${name}.js`);
  rows.push({ what: `vak/${name}, by itself`, size: sum(chunks.filter(({ lazy }) => !lazy)) });
}
/** @type {("gzip" | "brotli")[]} */
const kinds = withBrotli ? ["gzip", "brotli"] : ["gzip"];
console.log(`${"in KB".padEnd(48)}${kinds.map((kind) => kind.padStart(9)).join("")}`);
for (const { what, size } of rows) {
  console.log(`${what.padEnd(48)}${kinds.map((kind) => size[kind].toFixed(1).padStart(9)).join("")}`);
}

const over = [
  { what: "core", size: core.gzip, budget: BUDGETS.core },
  { what: "worker", size: worker.gzip, budget: BUDGETS.worker },
  {
    what: "vak/meter",
    size: rows.find(({ what }) => what.startsWith("vak/meter"))?.size.gzip ?? 0,
    budget: BUDGETS.meter,
  },
].filter(({ size, budget }) => size > budget);
for (const { what, size, budget } of over) console.log(`OVER its budget: ${what}, ${size.toFixed(1)} of ${budget} KB`);
if (over.length === 0) console.log(`within the budgets: ${JSON.stringify(BUDGETS)} KB`);
process.exitCode = over.length ? 1 : 0;

/**
 * Bundles a file as a user's bundler would.
 *
 * @param {string} input
 * @param {RegExp} [external]
 */
async function bundle(input, external) {
  const build = await rolldown({ input, platform: "browser", ...(external && { external }) });
  const { output } = await build.generate({ format: "es", minify: true });
  await build.close();
  const chunks = output.filter((part) => part.type === "chunk");
  // Chunks that the entry does not import, directly or through others, are loaded lazily.
  const names = new Set(chunks.filter((chunk) => chunk.isEntry).map((chunk) => chunk.fileName));
  for (const name of names) {
    for (const next of chunks.find((chunk) => chunk.fileName === name)?.imports ?? []) names.add(next);
  }
  return Promise.all(
    chunks.map(async ({ name, fileName, facadeModuleId, code }) => {
      const dependency = facadeModuleId?.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1];
      const called = dependency ?? name.replace(/-[\w-]{8}$/, "");
      return { name: called, size: await sizeOf(code), lazy: !names.has(fileName) };
    }),
  );
}
