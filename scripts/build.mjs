// Builds what is published: ES modules and their types for bundlers, with the worker and Cedar's wasm beside them; two
// single files for the web, a module and a classic script; and the command line.
import { execFileSync } from "node:child_process";
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";
import { runnerImport } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));
const { dependencies } = JSON.parse(await readFile(`${root}package.json`, "utf8"));

// The plugins are TypeScript, which Node 20 does not run; Vite does.
/** @type {{ module: typeof import("../build/plugins.ts") }} */
const { module: ours } = await runnerImport(`${root}build/plugins.ts`);
const plugins = [ours.workerSource(), ours.cedarGlue({ beside: true }), ours.rawText()];
/** @param {{ name: string }} chunk */
const chunkFileNames = ({ name }) => `${name.replace("_virtual_vak-", "")}-[hash].js`;
const reexport = 'export { VakError } from "./errors.js";';
/** @param {string} id */
const external = (id) =>
  id === "./errors.js" || Object.keys(dependencies).some((name) => id === name || id.startsWith(`${name}/`));

await rm(`${root}dist`, { recursive: true, force: true });
await mkdir(`${root}dist`, { recursive: true });

const errors = `${root}src/errors.ts`;
const index = `${root}src/index.ts`;
await bundle(
  {
    index,
    approval: `${root}src/approval/index.ts`,
    meter: `${root}src/meter/index.ts`,
    python: `${root}src/runtimes/python.ts`,
    policies: `${root}src/policy/stock.ts`,
    errors,
  },
  {
    format: "es",
    chunkFileNames,
    // What `vak` always needs is one file, since many small ones are more bytes; but for its errors, which all share.
    codeSplitting: {
      groups: [
        { name: (id) => (id === errors ? "errors" : null), priority: 1, debugName: "errors" },
        { name: (id) => (id.endsWith("/src/base/bytes.ts") ? "bytes" : null), priority: 1, debugName: "bytes" },
        { name: (id, graph) => (isEager(id, graph) ? "kernel" : null), debugName: "kernel" },
      ],
    },
  },
  { external },
);
const taken = ["@secretlint/secretlint-rule-preset-recommend/LICENSE", "ibantools/LICENSE.MIT", "fast-luhn/license"];
const licences = taken.map(async (path) => `${path}\n\n${await readFile(`${root}node_modules/${path}`, "utf8")}`);
const notices = `/*! This file has parts of:\n\n${(await Promise.all(licences)).join("\n").replaceAll("*/", "* /")}*/`;
// These have files of their own. They share its errors with `vak`, and little else: who uses both loads that twice. The rules
// by which leaks are found are taken in: they are written for Node, and of that they only name files.
await bundle(
  { audit: `${root}src/audit/index.ts`, fetch: `${root}src/fetch/index.ts`, replay: `${root}src/replay/index.ts` },
  { format: "es", chunkFileNames, banner: ({ name }) => (name === "fetch" ? notices : "") },
  {
    external,
    plugins: [...plugins, ours.withoutNode(), { name: "vak:errors", load: (id) => (id === errors ? reexport : null) }],
  },
);
await bundle({ vak: `${root}src/index.ts` }, { format: "es", codeSplitting: false, minify: true });
await bundle(
  { "vak.global": `${root}src/index.ts` },
  {
    format: "iife",
    name: "vak",
    codeSplitting: false,
    minify: true,
    // A classic script has no import.meta; it knows its own address only while it is being run.
    intro: "const vakScript = document.currentScript?.src ?? location.href;",
  },
  { transform: { define: { "import.meta.url": "vakScript" } } },
);
await bundle({ cli: `${root}src/cli/cli.ts` }, { format: "es", codeSplitting: false }, { external, platform: "node" });
await chmod(`${root}dist/cli.js`, 0o755);
await writeFile(`${root}dist/worker.js`, await ours.bundleWorker());
execFileSync(`${root}node_modules/.bin/tsc`, ["-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });

/**
 * Whether `vak` needs the module at once.
 *
 * @param {string} id
 * @param {{ getModuleInfo(id: string): { importers: string[] } | null }} graph
 */
function isEager(id, graph) {
  const above = new Set([id]);
  for (const one of above) for (const importer of graph.getModuleInfo(one)?.importers ?? []) above.add(importer);
  return above.has(index) && id !== index && id !== errors;
}

/**
 * @param {Record<string, string>} input
 * @param {import("rolldown").OutputOptions} output
 * @param {import("rolldown").InputOptions} options
 */
async function bundle(input, output, options = {}) {
  const build = await rolldown({ input, plugins, platform: "browser", ...options });
  await build.write({ dir: `${root}dist`, entryFileNames: "[name].js", ...output });
  await build.close();
}
