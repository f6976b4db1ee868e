import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
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
      if (!file.includes("/src/sandbox/") && !file.includes("/src/meter/")) return;
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
  if (!chunk || chunk.type !== "chunk") throw new Error("the worker did not bundle");
  return chunk.code;
}

/**
 * `virtual:cedar-glue`: Cedar's wasm-bindgen glue as a factory. The package keeps its instance in a module-level
 * variable, so that a trapped instance could never be replaced; a factory makes as many as are needed.
 */
export function cedarGlue(): Plugin {
  const id = "virtual:cedar-glue";
  return {
    name: "vak:cedar-glue",
    resolveId: (source) => (source === id ? `\0${id}` : null),
    async load(source) {
      if (source !== `\0${id}`) return null;
      const path = createRequire(import.meta.url).resolve("@cedar-policy/cedar-wasm/web");
      const text = await readFile(path, "utf8");
      const names = [...text.matchAll(/^export function (\w+)/gm)].map((match) => match[1]);
      const body = text
        .replace(/^export \{[^}]*\};?$/gm, "")
        .replace(/^export /gm, "")
        .replace(/new URL\([^)]*import\.meta\.url\)/g, "undefined");
      if (/import\.meta|^export|^import /m.test(body)) throw new Error("Cedar's glue has changed its shape");
      return `export function createCedar(module) {\n${body}\ninitSync({ module });\nreturn { ${names.join(", ")} };\n}`;
    },
  };
}
