/** Every way to get vak into a page, with what is in the tarball. */
import { copyFile, readdir, writeFile } from "node:fs/promises";
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

/** The page, its scripts in a folder of the project, and what they load from elsewhere. */
const site = (folder: string, pages: Record<string, string> = {}) =>
  serve({ directories: { "/": join(app, folder), "/agent.wasm": join(app, "public/agent.wasm") }, pages });

const ways: Record<string, () => Promise<Site>> = {
  "npm and vite build": async () => {
    await vite.build({ root: app, configFile: false, logLevel: "error", build: { outDir: "with-vite" } });
    return site("with-vite");
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
  // esbuild leaves `new URL("./cedar.wasm", import.meta.url)` as it is: the file is to be put beside.
  "npm and esbuild": async () => {
    const outdir = join(app, "with-esbuild");
    const entryPoints = [join(app, "main.js")];
    await esbuild.build({ entryPoints, outdir, bundle: true, splitting: true, format: "esm", minify: true });
    await copyFile(join(dist, "cedar.wasm"), join(outdir, "cedar.wasm"));
    return site("with-esbuild", { "/": html });
  },
  "a module from one's own server": () =>
    serve({
      directories: { "/": app, "/agent.wasm": join(app, "public/agent.wasm") },
      pages: { "/": html, "/main.js": main("/node_modules/vak/dist/vak.js") },
    }),
  "a module from a CDN": () =>
    fromCdn((cdn) => ({ "/": html, "/main.js": main(`${cdn}/npm/vak/dist/vak.js`), "/job.js": "" })),
  "a classic script": () =>
    fromCdn((cdn) => ({
      "/": page(`<script src="${cdn}/npm/vak/dist/vak.global.js"></script>
        <script type="module">import { job } from "/job.js"; globalThis.outcome = job(window.vak);</script>`),
    })),
};
