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

const entries = {
  index: `${root}src/index.ts`,
  audit: `${root}src/audit/index.ts`,
  meter: `${root}src/meter/index.ts`,
  python: `${root}src/runtimes/python.ts`,
  replay: `${root}src/replay/index.ts`,
};
await bundle(
  entries,
  {
    format: "es",
    chunkFileNames: ({ name }) => `${name.replace("_virtual_vak-", "")}-[hash].js`,
    // What `vak` always needs is in as few files as its entries can share: many small ones are more bytes.
    codeSplitting: {
      groups: Object.keys(entries).map((_, shared) => ({
        name: (id, graph) => eagerPart(id, graph, shared),
        priority: shared, // what most entries share takes what it needs first
        debugName: `shared by ${shared} more`,
      })),
    },
  },
  { external },
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
await bundle({ cli: `${root}src/cli.ts` }, { format: "es", codeSplitting: false }, { external, platform: "node" });
await chmod(`${root}dist/cli.js`, 0o755);
await writeFile(`${root}dist/worker.js`, await ours.bundleWorker());
execFileSync(`${root}node_modules/.bin/tsc`, ["-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });

/**
 * The file for a module that `vak` always needs, and so many of the other entries.
 *
 * @param {string} id
 * @param {{ getModuleInfo(id: string): { importers: string[] } | null }} graph
 * @param {number} shared
 */
function eagerPart(id, graph, shared) {
  const above = new Set([id]);
  for (const one of above) for (const importer of graph.getModuleInfo(one)?.importers ?? []) above.add(importer);
  const users = Object.entries(entries).filter(([, path]) => above.has(path));
  if (id === entries.index || !above.has(entries.index) || users.length !== shared + 1) return null;
  return users.map(([name]) => name).join("-");
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
