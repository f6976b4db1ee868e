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
/** @param {string} id */
const external = (id) => Object.keys(dependencies).some((name) => id === name || id.startsWith(`${name}/`));

await rm(`${root}dist`, { recursive: true, force: true });
await mkdir(`${root}dist`, { recursive: true });

// The rules by which leaks are found are taken in, since they are written for Node: the only thing they use of it is the
// names of files.
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
// What several entries need is a file that they share, so that whoever imports `vak` and `vak/audit` loads nothing twice, and
// there is one `VakError`. A file per module would do that too; but a bundler makes so many chunks of those, each compressed by
// itself, that a page which imports `vak` alone would get 47.8 KB (gzip) where it now gets 42.8.
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
 * The name of the file for a module that is needed at once: by the entries that need it. What is only loaded later is left
 * to the bundler.
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
  return names.length > 1 ? names.join("-") : null; // its own entry has it
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
