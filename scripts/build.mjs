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

await bundle(
  {
    index: `${root}src/index.ts`,
    audit: `${root}src/audit/index.ts`,
    meter: `${root}src/meter/index.ts`,
    python: `${root}src/runtimes/python.ts`,
  },
  {
    format: "es",
    chunkFileNames: ({ name }) => `${name.replace("_virtual_vak-", "")}-[hash].js`,
    // What `vak` always needs is one file, or two where `vak/audit` needs it as well: many small ones are more bytes.
    codeSplitting: { groups: [{ name: eagerPart, debugName: "eager" }] },
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
 * @param {string} id
 * @param {{ getModuleInfo(id: string): { importers: string[] } | null }} graph
 */
function eagerPart(id, graph) {
  const ids = new Set([id]);
  for (const one of ids) for (const importer of graph.getModuleInfo(one)?.importers ?? []) ids.add(importer);
  if (id === `${root}src/index.ts` || !ids.has(`${root}src/index.ts`)) return null;
  return ids.has(`${root}src/audit/index.ts`) ? "entries" : "kernel";
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
