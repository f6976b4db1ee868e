/**
 * Builds what is published: for bundlers, ES modules with their types, the worker and Cedar's wasm; for the web, a
 * module and a classic script, each a single file; and the command line.
 */
import { execFileSync } from "node:child_process";
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";
import { runnerImport } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));
const { dependencies } = JSON.parse(await readFile(`${root}package.json`, "utf8"));

// The plugins are in TypeScript, which Vite can run and Node 20 cannot.
/** @type {{ module: typeof import("../build/plugins.ts") }} */
const { module: ours } = await runnerImport(`${root}build/plugins.ts`);
const plugins = [ours.workerSource(), ours.cedarGlue({ beside: true }), ours.rawText()];
/** @param {string} id */
const external = (id) => Object.keys(dependencies).some((name) => id === name || id.startsWith(`${name}/`));

await rm(`${root}dist`, { recursive: true, force: true });
await mkdir(`${root}dist`, { recursive: true });

// The rules for finding leaks are bundled because they are written for Node. All they use of it is `path.basename`.
const vendored = {
  "@secretlint/secretlint-rule-preset-recommend": "LICENSE",
  "fast-luhn": "license",
  ibantools: "LICENSE.MIT",
};
/** @param {string} name */
const vendorFile = (name) => `vendor/${name.replace(/^@.*\//, "")}`;
for (const [name, licence] of Object.entries(vendored)) {
  const text = (await readFile(`${root}node_modules/${name}/${licence}`, "utf8")).replaceAll("*/", "* /");
  const banner = `/*! ${name}\n\n${text}*/`;
  await bundle({ [vendorFile(name)]: name }, { format: "es", banner }, { plugins: [ours.withoutNode()] });
}

const entries = {
  index: `${root}src/index.ts`,
  approval: `${root}src/approval/index.ts`,
  audit: `${root}src/audit/index.ts`,
  fetch: `${root}src/fetch/index.ts`,
  meter: `${root}src/meter/index.ts`,
  policies: `${root}src/policy/stock.ts`,
  python: `${root}src/runtimes/python.ts`,
  replay: `${root}src/replay/index.ts`,
};
// Modules that several entries need go into files that those entries share, so that a page importing `vak` and
// `vak/audit` loads nothing twice, and there is one `VakError`. A file per module would do that too, but bundlers
// turn those into so many chunks, each compressed on its own, that a page importing `vak` alone would load 47.8 KB
// (gzip) instead of 42.8.
await bundle(
  entries,
  {
    format: "es",
    chunkFileNames: ({ name }) => `${name.replace("_virtual_vak-", "")}-[hash].js`,
    codeSplitting: { includeDependenciesRecursively: false, groups: [{ name: sharedBy, debugName: "shared" }] },
  },
  {
    external: (id) => external(id) || /\/vendor\//.test(id),
    preserveEntrySignatures: "allow-extension",
    plugins: [
      ...plugins,
      {
        name: "vak:vendored",
        resolveId: (id) => (id in vendored ? { id: `./${vendorFile(id)}.js`, external: true } : null),
      },
    ],
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
    // A classic script has no import.meta, and knows its own URL only while it is first executed.
    intro: "const vakScript = document.currentScript?.src ?? location.href;",
  },
  { transform: { define: { "import.meta.url": "vakScript" } } },
);
await bundle({ cli: `${root}src/cli/cli.ts` }, { format: "es", codeSplitting: false }, { external, platform: "node" });
await chmod(`${root}dist/cli.js`, 0o755);
await writeFile(`${root}dist/worker.js`, await ours.bundleWorker());
execFileSync(`${root}node_modules/.bin/tsc`, ["-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });

/**
 * The file for a module that entries import statically, named after those entries. Where modules go that are only
 * loaded lazily is up to the bundler.
 *
 * @param {string} id
 * @param {{ getModuleInfo(id: string): { importers: string[] } | null }} graph
 */
function sharedBy(id, graph) {
  if (Object.values(entries).includes(id)) return null;
  const above = new Set([id]);
  for (const one of above) for (const importer of graph.getModuleInfo(one)?.importers ?? []) above.add(importer);
  const names = Object.entries(entries).flatMap(([name, path]) => (above.has(path) ? name : []));
  if (names.join() === "index") return "kernel";
  return names.length > 1 ? names.join("-") : null; // one entry alone needs it: it goes into that entry's file
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
