/**
 * `npm run wasi -- DIR`: runs a checkout of https://github.com/WebAssembly/wasi-testsuite, or a folder of it, through
 * a kernel in real browsers. Use the branch prod/testsuite-base, which has the built modules. Each module is a case;
 * NAME.json beside it says how to run it and what to expect (see doc/specification.md there).
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import type { Page } from "playwright";
import { chosenBrowsers, withPage } from "./page.ts";

interface Case {
  name: string;
  /** Path of the module below DIR. */
  module: string;
  args: string[];
  env: Record<string, string>;
  /** The guest's files, below `/`. */
  files: { path: string; from?: string; target?: string }[];
  exitCode: number;
  stdout: string | undefined;
  /** Why vak cannot run it at all. */
  unsupported?: string;
}

/** @returns the exit code: 0 if every case that vak can run passes, in every browser */
export async function run(argv: string[]): Promise<number> {
  const [folder] = argv.filter((arg) => !arg.startsWith("--"));
  if (!folder) {
    console.error("Usage: npm run wasi -- DIR [--browser=chromium|firefox] [--only=TEXT]");
    return 1;
  }
  const top = resolve(folder);
  const only = argv.find((arg) => arg.startsWith("--only="))?.slice("--only=".length) ?? "";
  const cases = (await findCases(top)).filter(({ name }) => name.includes(only));
  if (cases.length === 0) {
    console.error(`There are no modules in ${top}.`);
    return 1;
  }
  let allPassed = true;
  for (const browser of chosenBrowsers(argv)) {
    const failed = await withPage(browser, { "/suite/": top }, async (page, version) => {
      console.log(`\n${browser} ${version}`);
      let passed = 0;
      let skipped = 0;
      const failures: string[] = [];
      for (const it of cases) {
        if (it.unsupported !== undefined) {
          skipped++;
          console.log(`  skipped   ${it.name}: ${it.unsupported}`);
          continue;
        }
        const fault = await runCase(page, it);
        if (fault === undefined) passed++;
        else failures.push(it.name);
        console.log(fault === undefined ? `  pass      ${it.name}` : `  FAIL      ${it.name}: ${fault}`);
      }
      console.log(`${browser}: ${passed} passed, ${failures.length} failed, ${skipped} skipped, of ${cases.length}`);
      return failures.length;
    });
    if (failed > 0) allPassed = false;
  }
  return allPassed ? 0 : 1;
}

async function findCases(top: string): Promise<Case[]> {
  const paths = await readdir(top, { recursive: true });
  const modules = paths.filter((path) => path.endsWith(".wasm")).sort();
  return Promise.all(modules.map((module) => readCase(top, module)));
}

async function readCase(top: string, module: string): Promise<Case> {
  const path = join(top, module);
  const json = async (file: string) => JSON.parse(await readFile(file, "utf8").catch(() => "{}"));
  const config = await json(path.replace(/\.wasm$/, ".json"));
  const { version = "wasm32-wasip1" } = await json(join(dirname(path), "manifest.json"));
  const operations: { type: string; [field: string]: unknown }[] = config.operations ?? [];
  const settings = {
    ...config,
    ...operations.find(({ type }) => type === "run"),
    ...operations.find(({ type }) => type === "wait"),
  };
  const reads = operations.find(({ type, id = "stdout" }) => type === "read" && id === "stdout");
  const unknown = operations.find(({ type }) => !["run", "wait", "read"].includes(type));
  const it: Case = {
    name: module.replaceAll(sep, "/").replace(/\.wasm$/, ""),
    module: module.replaceAll(sep, "/"),
    args: settings.args ?? [],
    env: settings.env ?? {},
    files: settings.root ? await readTree(top, join(dirname(path), settings.root)) : [],
    exitCode: settings.exit_code ?? 0,
    stdout: reads ? String(reads.payload ?? "") : config.stdout,
  };
  if (version !== "wasm32-wasip1") return { ...it, unsupported: `it is for ${version}; vak runs WASI preview 1` };
  if (config.proposals?.length) return { ...it, unsupported: `it needs ${config.proposals}, which vak does not have` };
  return unknown
    ? { ...it, unsupported: `it needs the operation ${unknown.type}, and vak gives guests no network` }
    : it;
}

async function readTree(top: string, root: string): Promise<Case["files"]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return Promise.all(
    entries.map(async (entry) => {
      const from = join(entry.parentPath, entry.name);
      const path = relative(root, from).replaceAll(sep, "/");
      if (entry.isSymbolicLink()) return { path, target: await readlink(from) };
      return entry.isDirectory() ? { path } : { path, from: relative(top, from).replaceAll(sep, "/") };
    }),
  );
}

/** What was wrong with the case, or undefined. */
async function runCase(page: Page, it: Case): Promise<string | undefined> {
  const { stdout, stderr, result } = await page.evaluate(
    async ({ name, module, args, env, files }) => {
      const scope = globalThis as unknown as { kernel?: Awaited<ReturnType<typeof library.createKernel>> };
      scope.kernel ??= await library.createKernel({ log: { name: "wasi" } });
      const bytes = async (path: string) => new Uint8Array(await (await fetch(`/suite/${path}`)).arrayBuffer());
      const given: NonNullable<Parameters<typeof scope.kernel.spawn>[0]["files"]> = {};
      for (const { path, from, target } of files) {
        if (from !== undefined) given[path] = await bytes(from);
        else given[path] = target === undefined ? { type: "directory" } : { type: "symlink", target };
      }
      const limits = { memoryBytes: 512 * 1024 * 1024 };
      const agent = await scope.kernel.spawn({ name, program: await bytes(module), files: given, limits });
      const run = agent.run({ args, env });
      const [stdout, stderr] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text()]);
      const result = await run.result;
      await agent.close();
      return { stdout, stderr, result };
    },
    { ...it, name: `${basename(it.module).slice(0, 64)}` },
  );
  const said = stderr.trim().split("\n").slice(0, 3).join(" | ");
  if (result.status === "trapped") return `trapped (${result.trap}) ${said}`;
  if (result.status !== "exited") return `${result.status} ${JSON.stringify(result)} ${said}`;
  if (result.exitCode !== it.exitCode) return `exit code ${result.exitCode}, not ${it.exitCode} ${said}`;
  if (it.stdout !== undefined && stdout !== it.stdout)
    return `it printed ${JSON.stringify(stdout)}, not ${JSON.stringify(it.stdout)}`;
  return undefined;
}
