/** Pages with the built library in real browsers, for the commands in this folder. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium, firefox, type Page } from "playwright";
import type * as Audit from "../../src/audit/index.ts";
import type * as Vak from "../../src/index.ts";
import type * as Replay from "../../src/replay/index.ts";
import { isolation, type Server, serve } from "../serve.ts";
import { launchOptions } from "../setup/launch.ts";

declare global {
  /** The library, in a page of a command. */
  var library: typeof Vak;
  /** Loads `vak/audit` and `vak/replay`. */
  var loadAuditAndReplay: () => Promise<[typeof Audit, typeof Replay]>;
}

export const root = fileURLToPath(new URL("../..", import.meta.url));

export type BrowserName = "chromium" | "firefox";

/** The browser that the command line names (`--browser=chromium`), or both. */
export function chosenBrowsers(argv: string[]): BrowserName[] {
  const only = argv.find((arg) => arg.startsWith("--browser="))?.slice("--browser=".length);
  return (["chromium", "firefox"] as const).filter((name) => !only || name === only);
}

/**
 * Runs `work` with a page that has the library as `globalThis.library`, in a browser with a fresh profile on disk, and
 * closes everything afterwards. `directories`, by URL prefix, are served to the page.
 *
 * @param shared whether the page is cross-origin isolated and without JSPI, so that guests wait on shared memory
 */
export async function withPage<T>(
  browser: BrowserName,
  directories: Record<string, string>,
  work: (page: Page, version: string) => Promise<T>,
  { shared = false } = {},
): Promise<T> {
  const profile = await mkdtemp(join(tmpdir(), "vak-command-"));
  const server = await serveLibrary(directories, { shared });
  const type = browser === "chromium" ? chromium : firefox;
  const context = await type.launchPersistentContext(profile, launchOptions(browser));
  try {
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error(`${browser}: ${error}`));
    await page.goto(`${server.url}/`);
    await page.waitForFunction(() => "library" in globalThis);
    return await work(page, context.browser()?.version() ?? "");
  } finally {
    await context.close();
    await server.close();
    await rm(profile, { recursive: true, force: true });
  }
}

/** Serves the page of {@link withPage} at `/`. */
export async function serveLibrary(directories: Record<string, string>, { shared = false } = {}): Promise<Server> {
  const html = `<!doctype html><title>vak</title>
    <script>${shared ? "delete WebAssembly.Suspending; delete WebAssembly.promising;" : ""}</script>
    <script type="importmap">{ "imports": {
      "@noble/": "/modules/@noble/", "fflate": "/modules/fflate/esm/browser.js",
      "@noble/ed25519": "/modules/@noble/ed25519/index.js"
    } }</script>
    <script type="module">
      import * as library from "/dist/vak.js";
      globalThis.library = library;
      globalThis.loadAuditAndReplay = () => Promise.all([import("/dist/audit.js"), import("/dist/replay.js")]);
    </script>`;
  return serve({
    directories: { ...directories, "/dist/": `${root}dist`, "/modules/": `${root}node_modules` },
    pages: { "/": html },
    headers: shared ? isolation : {},
  });
}

/** The number of objects of a class in the page's heap, after a garbage collection; only in Chromium. */
export async function objects(page: Page, name: string): Promise<number> {
  const session = await page.context().newCDPSession(page);
  const evaluated = await session.send("Runtime.evaluate", { expression: `${name}.prototype` });
  const query = { prototypeObjectId: evaluated.result.objectId! };
  const { objects } = await session.send("Runtime.queryObjects", query);
  const { result } = await session.send("Runtime.getProperties", { objectId: objects.objectId!, ownProperties: true });
  await session.detach();
  return Number(result.find(({ name }) => name === "length")!.value!.value);
}
