/** Vite's configuration: for the playground (`npm start`, `npm run build`), and for Vitest in the mode `test`. */
import { defineConfig, type Plugin, type UserConfig } from "vite";
import { cedarGlue, workerSource } from "./build/plugins.ts";

const root = new URL(".", import.meta.url).pathname;

/** The playground's policy. It is in the page, so that it applies on any host; agents' workers inherit it. */
const policy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src data: 'self'", // agents, and the worker that replays
  "connect-src 'self'",
  "style-src 'self' 'unsafe-inline'", // CodeMirror creates its style sheets at run time
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

function contentSecurityPolicy(): Plugin {
  return {
    name: "playground:csp",
    apply: "build", // Vite's development server adds scripts of its own
    transformIndexHtml: () => [
      { tag: "meta", attrs: { "http-equiv": "Content-Security-Policy", content: policy }, injectTo: "head-prepend" },
    ],
  };
}

const playground: UserConfig = {
  root: `${root}demo`,
  base: "./",
  cacheDir: `${root}node_modules/.cache/vak/vite-demo`,
  plugins: [workerSource(), cedarGlue(), contentSecurityPolicy()],
  server: { fs: { allow: [root] } },
  worker: { format: "es" },
  build: {
    outDir: `${root}dist/playground`,
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1000, // in KB: the editors are large
  },
};

export default defineConfig(async ({ mode }) =>
  // Loaded only for tests, because it looks for browsers.
  mode === "test" ? (await import("./test/setup/projects.ts")).tests() : playground,
);
