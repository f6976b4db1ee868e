/**
 * Runs the WebAssembly core suite plain and metered: whatever passes plain must pass metered.
 *
 *   npm run spec -- DIR [node] [chromium] [firefox]
 *
 * DIR holds the suite as the reference interpreter converts it: `wasm -d x.wast -o x.js` for each file of test/core. It
 * is the one converter that reads all of WebAssembly 3.0. Exits with 1 if anything that passes plain fails metered,
 * unless it depends on a module that was refused by name.
 */

import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { bundle, launch } from "./meter-page.mjs";

const [directory, ...engines] = process.argv.slice(2);
if (!directory) {
  console.error("usage: npm run spec -- DIR [node] [chromium] [firefox]");
  console.error("DIR: the core suite as `wasm -d x.wast -o x.js` writes it, for each file of test/core");
  process.exit(2);
}

/**
 * @typedef {{ fuel?: boolean, resumable?: boolean, nan?: boolean, stackDepth?: number }} Options
 * @typedef {{ passed: number, refused: Record<string, number>, missing: number, regressions: string[] }} Total
 */

/**
 * Runs in each engine: every command of every file, with each option set.
 *
 * @param {string[]} files
 * @param {(file: string) => Promise<string>} load
 */
async function runSuite(files, load) {
  const { meter } = /** @type {{ meter: typeof import("../src/meter/index.ts") }} */ (
    /** @type {unknown} */ (globalThis)
  );
  /** @type {Record<string, Options | undefined>} */
  const sets = {
    plain: undefined,
    fuel: { fuel: true },
    resumable: { fuel: true, resumable: true },
    nan: { nan: true },
    depth: { stackDepth: 10_000 },
    all: { fuel: true, resumable: true, stackDepth: 10_000, nan: true },
  };
  /** @type {Record<string, Total>} */
  const totals = {};
  for (const set of Object.keys(sets)) totals[set] = { passed: 0, refused: {}, missing: 0, regressions: [] };
  for (const file of files) {
    const passedPlain = new Set();
    const source = await load(file);
    for (const [set, options] of Object.entries(sets)) {
      const total = /** @type {Total} */ (totals[set]);
      let number = 0;
      /** @type {string[]} */
      const failed = [];
      let refusals = 0;
      /** @type {(where: string, command: () => void) => void} */
      const attempt = (where, command) => {
        number++;
        try {
          command();
          total.passed++;
          if (!options) passedPlain.add(number);
        } catch (thrown) {
          const error = /** @type {Error & { code?: string }} */ (thrown);
          if (!passedPlain.has(number)) return;
          failed.push(`${where}: ${error}`);
          if (error?.code !== "invalid-module" || !/is not admitted/.test(error.message)) return;
          const what = error.message.replace(/function \d+| \(at byte \d+\)/g, "…");
          total.refused[what] = (total.refused[what] ?? 0) + 1;
          refusals++;
        }
      };
      /** @type {(buffer: ArrayBuffer) => BufferSource} */
      const rewrite = (buffer) => {
        if (!options) return buffer;
        try {
          return meter.instrument(new Uint8Array(buffer), options).bytes;
        } catch (thrown) {
          const error = /** @type {Error & { code?: string }} */ (thrown);
          // An invalid module must be refused; the suite expects that from the engine.
          throw error.code === "invalid-module" && !WebAssembly.validate(buffer)
            ? new WebAssembly.CompileError()
            : error;
        }
      };
      /** @type {(module: WebAssembly.Module, imports: WebAssembly.Imports) => WebAssembly.Instance} */
      const instantiate = (module, imports) => {
        const instance = new WebAssembly.Instance(module, imports);
        if ("vak:fuel" in instance.exports) meter.attach(instance.exports, { fuel: Number.MAX_SAFE_INTEGER });
        /** @type {{ "vak:start"?: () => void }} */ (instance.exports)["vak:start"]?.();
        return instance;
      };
      new Function("attempt", "rewrite", "instantiate", prepare(source))(attempt, rewrite, instantiate);
      // Once a module was refused by name, other failures in its file follow from that.
      if (refusals > 0) total.missing += failed.length;
      else total.regressions.push(...failed);
    }
  }
  return totals;

  /**
   * Each command becomes one attempt, and the harness compiles and instantiates through the hooks.
   *
   * @param {string} source
   */
  function prepare(source) {
    const [harness = "", ...commands] = source.split(/^(?=\/\/ \S+\.wast:\d+$)/m);
    const hooked = harness
      .replace("return new WebAssembly.Module(buffer)", "return new WebAssembly.Module(rewrite(buffer))")
      .replaceAll("new WebAssembly.Instance(", "instantiate(")
      .replace(
        "return instance.exports[name]",
        'instance.exports["vak:set-depth"]?.(10_000); return instance.exports[name]',
      )
      .replaceAll("console.log.bind(console)", "() => {}")
      .replace(/(table64|memory64): (new WebAssembly\.\w+\([^)]*\))/g, "$1: (() => { try { return $2 } catch {} })()")
      // With a limit on the stack, exhaustion is a trap.
      .replace(
        "if (e instanceof StackOverflow) return;",
        "if (e instanceof StackOverflow || e instanceof WebAssembly.RuntimeError) return;",
      );
    const attempts = commands.map((command) => {
      const [, where = "", body = ""] = /^\/\/ (\S+)\n([\s\S]*)$/.exec(command) ?? [];
      const declared = /^let (\S+) = /.exec(body);
      const variable = declared ? `var ${declared[1]};` : "";
      return `${variable} attempt(${JSON.stringify(where)}, () => { ${declared ? body.slice(4) : body} });`;
    });
    return `${hooked}\n${attempts.join("\n")}`;
  }
}

/** @param {string} engine @param {Record<string, Total>} totals */
function report(engine, totals) {
  let failed = false;
  for (const [set, { passed, refused, missing, regressions }] of Object.entries(totals)) {
    console.log(
      `${engine} ${set}: ${passed} passed, ${regressions.length} regressions, ${missing} for want of what is refused`,
    );
    for (const [message, count] of Object.entries(refused)) console.log(`  refused ${count}×: ${message}`);
    for (const regression of regressions.slice(0, 20)) console.log(`  ${regression}`);
    failed ||= regressions.length > 0;
  }
  return failed;
}

const files = (await readdir(directory)).filter((name) => name.endsWith(".js")).sort();
if (!files.length) throw new Error(`${directory} has no .js files: \`wasm -d x.wast -o x.js\` makes them`);
const meter = await bundle();
const server = createServer(async ({ url }, response) => {
  const name = (url ?? "/").slice(1);
  response.setHeader("content-type", name ? "text/javascript" : "text/html");
  if (name === "meter.js") response.end(meter);
  else if (files.includes(name)) response.end(await readFile(join(directory, name)));
  else response.end("<!doctype html><script src=/meter.js></script>");
}).listen(0, "127.0.0.1");

let failed = false;
for (const engine of engines.length ? engines : ["node", "chromium", "firefox"]) {
  if (engine === "node") {
    Object.assign(globalThis, { meter: new Function(`${meter}; return meter;`)() });
    failed = report(engine, await runSuite(files, (name) => readFile(join(directory, name), "utf8"))) || failed;
    continue;
  }
  const browser = await launch(engine);
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}/`);
  const totals = await page.evaluate(
    (/** @type {[string, string[]]} */ [run, names]) =>
      new Function(`return ${run}`)()(names, async (/** @type {string} */ name) => (await fetch(`/${name}`)).text()),
    /** @type {[string, string[]]} */ ([runSuite.toString(), files]),
  );
  failed = report(engine, totals) || failed;
  await browser.close();
}
server.close();
process.exit(failed ? 1 : 0);
