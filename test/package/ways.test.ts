/** Every way to load vak into a page, from the packed tarball. */
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as esbuild from "esbuild";
import * as vite from "vite";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import webpack from "webpack";
import { serve } from "../serve.ts";
import { browsers } from "../setup/launch.ts";
import { expectDone, page, visit } from "./visit.ts";

const app = inject("app");
const dist = join(app, "node_modules/vak/dist");
const agent = join(app, "public/agent.wasm");
const open = await Promise.all(browsers.map(async ({ name, launch }) => ({ name, browser: await launch() })));
afterAll(() => Promise.all(open.map(({ browser }) => browser.close())));

interface Site extends AsyncDisposable {
  url: string;
}

const html = page('<script type="module" src="/main.js"></script>');
const main = (from: string) => `
import * as vak from "${from}";
import { job } from "./job.js";
globalThis.outcome = job(vak);
`;
const ownWorker = `
import * as vak from "vak";
import workerUrl from "vak/worker?url";
import cedar from "vak/cedar.wasm?url";
import { job } from "./job.js";
globalThis.outcome = job(vak, { kernel: { cedar, isolation: "page", workerUrl } });
`;

/** Serves a bundler's output and the program. */
const site = (folder: string, pages: Record<string, string> = {}) =>
  serve({ directories: { "/": join(app, folder), "/agent.wasm": agent }, pages });

const ways: Record<string, () => Promise<Site>> = {
  "npm and vite build": async () => {
    await viteBuild("with-vite");
    return site("with-vite");
  },
  "npm and vite build, with the URLs of the worker and of Cedar": async () => {
    await writeFile(join(app, "main.js"), ownWorker);
    await viteBuild("with-urls");
    await writeFile(join(app, "main.js"), main("vak"));
    return site("with-urls");
  },
  "npm and Vite's development server": async () => {
    const server = await vite.createServer({
      root: app,
      configFile: false,
      logLevel: "error",
      server: { port: 0, host: "localhost" },
    });
    await server.listen();
    const [url] = server.resolvedUrls!.local;
    return { url: url!, [Symbol.asyncDispose]: () => server.close() };
  },
  "npm and webpack": async () => {
    const stats = await new Promise<webpack.Stats>((done, fail) => {
      const output = { path: join(app, "with-webpack"), filename: "main.js" };
      webpack({ context: app, entry: "./main.js", mode: "production", output }, (error, stats) =>
        stats ? done(stats) : fail(error),
      );
    });
    expect(stats.toJson().errors).toEqual([]);
    return site("with-webpack", { "/": html });
  },
  // esbuild leaves `new URL("./cedar.wasm", import.meta.url)` as it is, so the file has to be copied beside its output.
  "npm and esbuild": async () => {
    const outdir = join(app, "with-esbuild");
    const entryPoints = [join(app, "main.js")];
    await esbuild.build({ entryPoints, outdir, bundle: true, splitting: true, format: "esm", minify: true });
    await copyFile(join(dist, "cedar.wasm"), join(outdir, "cedar.wasm"));
    return site("with-esbuild", { "/": html });
  },
  "a module from the page's own server": async () =>
    serve({
      directories: { "/": app, "/agent.wasm": agent },
      pages: { "/": html, "/main.js": main("/node_modules/vak/dist/vak.js") },
    }),
  "a module from a CDN": () => withCdn((cdn) => ({ "/": html, "/main.js": main(`${cdn}/npm/vak/dist/vak.js`) })),
  "a classic script from a CDN": () =>
    withCdn((cdn) => ({
      "/": page(`
        <script src="${cdn}/npm/vak/dist/vak.global.js"></script>
        <script type="module">
          import { job } from "./job.js";
          globalThis.outcome = job(window.vak);
        </script>`),
    })),
};

const viteBuild = (outDir: string) =>
  vite.build({ root: app, configFile: false, logLevel: "error", build: { outDir } });

/** Serves a page, and vak on another origin. */
async function withCdn(pages: (cdn: string) => Record<string, string>): Promise<Site> {
  const headers = { "Access-Control-Allow-Origin": "*" };
  const cdn = await serve({ directories: { "/npm/vak/": join(app, "node_modules/vak") }, headers });
  const directories = { "/job.js": join(app, "job.js"), "/agent.wasm": agent };
  const server = await serve({ directories, pages: pages(cdn.url) });
  return {
    url: server.url,
    [Symbol.asyncDispose]: async () => void (await Promise.all([server.close(), cdn.close()])),
  };
}

beforeAll(async () => {
  await writeFile(join(app, "index.html"), html);
  await writeFile(join(app, "main.js"), main("vak"));
});

describe.each(Object.entries(ways))("%s", (_, start) => {
  let server: Site;
  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  test.each(open)("$name does the job", async ({ browser }) => expectDone(await visit(browser, server.url)));
});
