/** Vite plugins for the modules that the build creates, and for what the library's dependencies need. */
import { readFile } from "node:fs/promises";
import { build, type Plugin } from "vite";

const root = new URL("..", import.meta.url).pathname;

/** `virtual:vak-worker`: the sandbox bundled to one classic script, as a string. */
export function workerSource(): Plugin {
  const id = "virtual:vak-worker";
  let code: Promise<string> | undefined;
  return {
    name: "vak:worker-source",
    resolveId: (source) => (source === id ? `\0${id}` : null),
    async load(source) {
      if (source !== `\0${id}`) return null;
      code ??= bundleWorker();
      return `export default ${JSON.stringify(await code)};`;
    },
    handleHotUpdate({ file, server }) {
      // All that the sandbox may import: test/unit/imports.test.ts has the table.
      if (!/\/src\/(sandbox|meter|wasm|protocol|base)\/|\/src\/(limits|labels|errors)\.ts$/.test(file)) return;
      code = undefined;
      const module = server.moduleGraph.getModuleById(`\0${id}`);
      if (module) server.moduleGraph.invalidateModule(module);
    },
  };
}

/** The sandbox as one self-contained classic script. */
export async function bundleWorker(): Promise<string> {
  const result = await build({
    configFile: false,
    root,
    logLevel: "warn",
    build: {
      write: false,
      target: "es2022",
      minify: true,
      lib: { entry: `${root}src/sandbox/entry.ts`, formats: ["iife"], name: "vakWorker", fileName: "worker" },
    },
  });
  const output = (Array.isArray(result) ? result : [result]).flatMap((r) => ("output" in r ? r.output : []));
  const chunk = output.find((part) => part.type === "chunk");
  if (chunk?.type !== "chunk") throw new Error("bundling the worker gave no chunk of code");
  return chunk.code;
}

/**
 * `virtual:cedar-glue`: Cedar's wasm-bindgen glue as a factory. The package keeps its instance in a module-level
 * variable, so an instance that trapped could never be replaced; a factory creates as many as are needed.
 *
 * With `beside`, as the library is built, Cedar's wasm goes beside the bundle as `cedar.wasm`, and the bundle contains
 * exactly `new URL("./cedar.wasm", import.meta.url)`, which bundlers recognise.
 */
export function cedarGlue({ beside = false } = {}): Plugin {
  const id = "virtual:cedar-glue";
  // Becomes a string literal only after Vite has seen the code: in library mode it would inline the 4 MB.
  const placeholder = "__VAK_CEDAR_WASM__";
  // A path, because the package exports it for `import` only and `require.resolve` does not find it.
  const glue = `${root}node_modules/@cedar-policy/cedar-wasm/web/cedar_wasm.js`;
  return {
    name: "vak:cedar-glue",
    resolveId: (source) => (source === id ? `\0${id}` : null),
    async load(source) {
      if (beside && source === `${root}src/policy/cedar/wasm-url.ts`) {
        return `export const cedarWasmUrl = new URL(${placeholder}, import.meta.url);`;
      }
      if (source !== `\0${id}`) return null;
      const text = await readFile(glue, "utf8");
      const names = [...text.matchAll(/^export function (\w+)/gm)].map((match) => match[1]);
      const body = text
        .replace(/^export \{[^}]*\};?$/gm, "")
        .replace(/^export /gm, "")
        .replace(/new URL\([^)]*import\.meta\.url\)/g, "undefined");
      if (/import\.meta|^export|^import /m.test(body))
        throw new Error("Cedar's glue no longer has the expected shape: adapt cedarGlue to it");
      const start = "await __wbg_init({ module_or_path: module });";
      return `export async function createCedar(module) {\n${body}\n${start}\nreturn { ${names.join(", ")} };\n}`;
    },
    renderChunk: (code) => (code.includes(placeholder) ? code.replaceAll(placeholder, '"./cedar.wasm"') : null),
    async generateBundle() {
      if (!beside) return;
      const source = await readFile(glue.replace(/\.js$/, "_bg.wasm"));
      this.emitFile({ type: "asset", fileName: "cedar.wasm", source });
    },
  };
}

/** `import text from "./file?raw"`, which Vite supports, for other bundlers. */
export function rawText(): Plugin {
  const query = "?raw";
  return {
    name: "vak:raw-text",
    async resolveId(source, importer) {
      if (!source.endsWith(query)) return null;
      const found = await this.resolve(source.slice(0, -query.length), importer);
      return found && `${found.id}${query}`;
    },
    async load(id) {
      if (!id.endsWith(query)) return null;
      return `export default ${JSON.stringify(await readFile(id.slice(0, -query.length), "utf8"))};`;
    },
  };
}

/** For a library that imports `node:path` and `node:fs` but works without them: replaces both with a stub. */
export function withoutNode(): Plugin {
  return {
    name: "vak:without-node",
    resolveId: (source) =>
      /^node:(path|fs)$/.test(source) ? { id: "\0without-node", moduleSideEffects: false } : null,
    load: (id) => (id === "\0without-node" ? "export default { basename: (path) => path };" : null),
  };
}
