/** The documents against the code: what they show compiles, what they list is complete, what they link to exists. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { ENTRY_TYPES } from "../../src/audit/entry.ts";
import { normalUrl } from "../../src/base/url.ts";
import type { VakError } from "../../src/errors.ts";
import { fetchTool } from "../../src/fetch/index.ts";
import { LIMIT_NAMES, LIMIT_RANGES, type LimitName } from "../../src/limits.ts";
import { MODULE_LIMITS } from "../../src/meter/index.ts";
import { createCedarEngine } from "../../src/policy/cedar/cedar.ts";
import { MAX_POLICY_BYTES, MAX_POLICY_DEPTH } from "../../src/policy/cedar/read.ts";
import type { PolicyPack } from "../../src/policy/engine.ts";
import { MAX_ENTITIES, MAX_PACK_BYTES, MAX_TESTS } from "../../src/policy/pack.ts";
import { stockPolicies } from "../../src/policy/stock.ts";
import { MAX_PATH, MESSAGES_AT_ONCE, MESSAGES_PER_SECOND } from "../../src/protocol/bounds.ts";
import { TRAPS } from "../../src/protocol/messages.ts";
import { WASI_IMPORTS } from "../../src/sandbox/wasi/imports.ts";
import { MAX_ENTRY_BYTES } from "../../src/tlog/sizes.ts";
import { defineTool, type Tool } from "../../src/tool/definition.ts";
import { describeToPolicy } from "../../src/tool/policy-view.ts";
import { FRAME_HASH, FRAME_POLICY } from "../../src/worker/frame.ts";
import supported from "../setup/support.json";
import { anchors, type Block, documents, root, table } from "./markdown.ts";
import { wasmBytes } from "./policy/wasm.ts";

const docs = documents();
const doc = (path: string) => docs.find((it) => it.path === path) ?? expect.fail(`there is no ${path}`);
const blocks = docs.flatMap((it) => it.blocks);
const inLanguage = (...languages: string[]) => blocks.filter(({ language }) => languages.includes(language));
const source = (path: string) => readFileSync(join(root, path), "utf8");

/** The string literals of a union type in a source file, in order. */
function union(path: string, name: string): string[] {
  const found = source(path)
    .replace(/\/\/.*$/gm, "")
    .match(new RegExp(`type ${name} =([^;]*?)(;|\\n\\n)`))?.[1];
  return [...(found ?? "").matchAll(/"([\w-]+)"/g)].map((match) => match[1]!);
}

/** A number that a source file keeps to itself. */
function constant(path: string, name: string): number {
  const factors =
    source(path)
      .match(new RegExp(`^const ${name} = ([\\d_ *]+);$`, "m"))?.[1]
      ?.split("*") ?? [];
  return factors.reduce(
    (product, factor) => product * Number(factor.replaceAll("_", "")),
    factors.length ? 1 : Number.NaN,
  );
}

const firstColumn = (rows: string[][]) => rows.map(([cell]) => cell);

test("every block has a language that this test or the one in test/e2e knows", () => {
  const known = ["ts", "html", "sh", "cedar", "text", "wat", "c", "python"];
  expect(blocks.filter(({ language }) => !known.includes(language)).map(({ where }) => where)).toEqual([]);
  expect(blocks.length).toBeGreaterThan(30);
});

describe("TypeScript", () => {
  const folder = join(root, "test/.cache/docs");
  /** What a block may use without having made it, where it does not say otherwise. */
  const given = `
    import type { Agent, Kernel, Tool } from "vak";
    declare global {
      const kernel: Kernel;
      const agent: Agent;
      const add: Tool<never>;
      const bytes: Uint8Array<ArrayBuffer>;
      const bundle: import("vak/audit").Bundle;
      const signal: AbortSignal;
      const zip: Blob;
      function show(text: string): void;
      /** Of Chromium; TypeScript does not know it. */
      function showDirectoryPicker(options?: { mode: "readwrite" }): Promise<FileSystemDirectoryHandle>;
    }
  `;
  const name = ({ where }: Block) => `${where.replace(/[^\w]/g, "-")}.ts`;
  /** A block, with the steps before it where it is one of several. */
  function upTo(block: Block): string {
    const { step } = block.info;
    if (step === undefined) return block.text;
    const steps = inLanguage("ts").filter(({ info }) => info.step === step);
    return steps
      .slice(0, steps.indexOf(block) + 1)
      .map(({ text }) => text)
      .join("\n");
  }

  beforeAll(() => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    for (const block of inLanguage("ts")) writeFileSync(join(folder, name(block)), `${upTo(block)}\nexport {};\n`);
    writeFileSync(join(folder, "given.d.ts"), given);
    const up = relative(folder, root);
    const paths = {
      vak: [`${up}/src/index.ts`],
      "vak/approval": [`${up}/src/approval/index.ts`],
      "vak/audit": [`${up}/src/audit/index.ts`],
      "vak/fetch": [`${up}/src/fetch/index.ts`],
      "vak/meter": [`${up}/src/meter/index.ts`],
      "vak/policies": [`${up}/src/policy/stock.ts`],
      "vak/python": [`${up}/src/runtimes/python.ts`],
      "vak/replay": [`${up}/src/replay/index.ts`],
    };
    const config = {
      extends: `${up}/tsconfig.json`,
      compilerOptions: { paths, noUnusedLocals: false, noUnusedParameters: false },
      include: ["*.ts", `${up}/src/**/*.d.ts`],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  });

  test("every block compiles", async () => {
    expect(inLanguage("ts").length).toBeGreaterThan(8);
    const tsc = join(root, "node_modules/.bin/tsc");
    const { stdout } = await promisify(execFile)(tsc, ["-p", folder]).catch((error) => error as { stdout: string });
    expect(stdout).toBe("");
  });

  test("the compiler was asked: a block that is wrong does not compile", async () => {
    const wrong = join(folder, "wrong.ts");
    writeFileSync(wrong, `import { createKernel } from "vak";\nawait createKernel({ polcy: "" });\n`);
    const tsc = join(root, "node_modules/.bin/tsc");
    const { stdout } = await promisify(execFile)(tsc, ["-p", folder]).catch((error) => error as { stdout: string });
    rmSync(wrong);
    expect(stdout).toContain("polcy");
  });
});

describe("Cedar", () => {
  let tools: Record<string, Tool[]>;
  beforeAll(() => {
    tools = {
      add: [toolOf("first", "add")],
      transfer: [toolOf("transfer", "transfer")],
      fetch: [fetchTool({ allow: [{ origin: "https://*" }] }) as Tool],
    };
  });

  /** A tool that a document defines, made of its very text. */
  function toolOf(block: string, name: string): Tool {
    const { text } = inLanguage("ts").find(({ info }) => info.run === block || info.tools === block)!;
    const definition = text.match(new RegExp(`const ${name} = (defineTool\\(.*?^\\}\\));`, "ms"))?.[1];
    return new Function("defineTool", `return ${definition}`)(defineTool);
  }

  const engine = ({ info }: Block) =>
    createCedarEngine({ tools: tools[info.tools ?? ""]!.map(describeToPolicy), wasm: wasmBytes });
  const isRefused = ({ info }: Block) => "refused" in info;

  test.each(["pack", "groups"])("the policy pack %s loads, and its tests hold", async (name) => {
    const { text } = inLanguage("ts").find(({ info }) => info.tools === name)!;
    const literal = text.match(/const policy: PolicyPack = (\{.*?^\});/ms)?.[1];
    const pack: PolicyPack = new Function(`return ${literal}`)();
    const tool = name === "pack" ? "add" : "transfer";
    await createCedarEngine({ tools: tools[tool]!, wasm: wasmBytes }).load(pack);
    expect(pack.policies).toContain("@id");
  });

  test.each(inLanguage("cedar").filter((block) => !isRefused(block)))("$where loads", async (block) => {
    const { policies } = await engine(block).load(block.text);
    const ids = [...block.text.matchAll(/@id\("([^"]+)"\)/g)].map((match) => match[1]);
    expect(policies).toEqual(ids);
  });

  test.each(inLanguage("cedar").filter(isRefused))("$where is refused, as it says below it", async (block) => {
    const said = blocks[blocks.indexOf(block) + 1]!;
    const error: VakError = await engine(block)
      .load(block.text)
      .then(
        () => expect.fail("it was not refused"),
        (error) => error,
      );
    expect(error.code).toBe("invalid-policy");
    for (const line of said.text.trim().split("\n")) expect(error.message).toContain(line);
  });
});

test.each(inLanguage("c", "wat", "python"))("$where is an excerpt of the file that it names", ({ info, text }) => {
  const [path = ""] = Object.keys(info);
  expect(source(path).includes(text), path).toBe(true);
});

test.each(inLanguage("sh"))("$where runs scripts and commands that exist", ({ text, where }) => {
  const { scripts, bin, dependencies, devDependencies } = JSON.parse(source("package.json"));
  const builtIn = ["ci", "init", "install", "pack"];
  const commands = text
    .split(/\n|&&/)
    .map((line) => line.replace(/#.*/, "").trim())
    .filter(Boolean);
  for (const command of commands) {
    const [program, word = "", argument = ""] = command.split(" ");
    if (program === "npm")
      expect(word === "run" ? Object.keys(scripts) : [...Object.keys(scripts), ...builtIn]).toContain(
        word === "run" ? argument : word,
      );
    else if (program === "npx")
      expect([...Object.keys(bin), ...Object.keys({ ...dependencies, ...devDependencies })]).toContain(word);
    else if (program === "node") expect(existsSync(join(root, word))).toBe(true);
    else expect(["clang", "cp", "mkdir"], where).toContain(program);
  }
});

test("the stock policies are the ones that are exported", () => {
  expect(inLanguage("cedar").map(({ text }) => text)).toContain(stockPolicies);
});

test("the documented policy of frames is the one they have", () => {
  expect(blocks.map(({ text }) => text.trim())).toContain(FRAME_POLICY);
  expect(blocks.find(({ info }) => info.run === "csp-frame")!.text).toContain(FRAME_HASH);
});

describe("tables", () => {
  const bytesOf = (name: LimitName) => name.endsWith("Bytes");
  /** A limit as the documents write it. */
  function written(name: LimitName, value: number): string {
    for (const [unit, size] of [
      ["GiB", 2 ** 30],
      ["MiB", 2 ** 20],
      ["KiB", 2 ** 10],
    ] as const) {
      if (bytesOf(name) && value >= size) return `${value / size} ${unit}`;
    }
    return value.toLocaleString("en-US") + (name.endsWith("Ms") ? " ms" : "");
  }

  test("the limits and their defaults, ranges and effects", () => {
    expect(table(doc("docs/limits.md"), "limit", "unit").map(([name, , ...range]) => [name, ...range])).toEqual(
      LIMIT_NAMES.map((name) => {
        const { default: value, min, max } = LIMIT_RANGES[name];
        return [name, ...[value, min, max].map((it) => written(name, it))];
      }),
    );
    expect(firstColumn(table(doc("docs/limits.md"), "limit", "what happens"))).toEqual(LIMIT_NAMES);
  });

  test("the bounds", () => {
    const values = (path: string) =>
      Object.fromEntries(
        table(doc(path), "bound", "value").map(([name, value]) => [name, Number(value!.replaceAll(",", ""))]),
      );
    expect(values("docs/limits.md")).toEqual({
      "bytes of a program": MODULE_LIMITS.moduleBytes,
      "bytes of a path": MAX_PATH,
      "bytes of a run's arguments and names of environment variables, as JSON": constant(
        "src/kernel/run-options.ts",
        "MAX_ARGS",
      ),
      "messages from a worker in one second, before it is ended as a flood": MESSAGES_PER_SECOND,
      "messages from a worker that may be waiting when a busy page gets to them": MESSAGES_AT_ONCE,
      "bytes of policy text": MAX_POLICY_BYTES,
      "bytes of one log entry": MAX_ENTRY_BYTES,
    });
    expect(values("docs/policy.md")).toEqual({
      "bytes of policy text": MAX_POLICY_BYTES,
      "bytes of a policy pack as JSON": MAX_PACK_BYTES,
      entities: MAX_ENTITIES,
      tests: MAX_TESTS,
      "brackets within brackets, and operators above operators": MAX_POLICY_DEPTH,
    });
  });

  test("the errors", () => {
    expect(firstColumn(table(doc("docs/errors.md"), "code", "when"))).toEqual(union("src/errors.ts", "VakErrorCode"));
  });

  test("what a guest reads when its call did not succeed", () => {
    const codes = union("src/broker/call.ts", "CallErrorCode").filter((code) => code !== "tool" && code !== "input");
    expect(firstColumn(table(doc("docs/guests.md"), "code", "why"))).toEqual(codes);
  });

  test("URLs, and the one spelling of each", () => {
    const rows = table(doc("docs/fetch.md"), "written", "is");
    expect(rows.length).toBeGreaterThan(5);
    for (const [written, is] of rows) for (const url of written!.split(", ")) expect(normalUrl(url)).toBe(is);
  });

  test("the reasons why a request can fail, and the kinds of leaks", () => {
    const files = ["body", "response", "secrets", "send"].map((file) => source(`src/fetch/${file}.ts`)).join("");
    const words = [...files.matchAll(/(?:Error|Refused)\(\s*[`"](\w[\w-]*:) /g)].map((match) => match[1]!);
    expect(firstColumn(table(doc("docs/fetch.md"), "word", "why")).sort()).toEqual([...new Set(words)].sort());
    expect(firstColumn(table(doc("docs/fetch.md"), "kind", "is"))).toEqual(union("src/fetch/leaks.ts", "LeakKind"));
  });

  test("why a call is denied", () => {
    expect(firstColumn(table(doc("docs/policy.md"), "reason", "meaning"))).toEqual(
      union("src/policy/engine.ts", "DenyReason"),
    );
  });

  test("what support() says of each engine", () => {
    const spell = (value: unknown): unknown => (value === true ? "yes" : value === false ? "no" : value);
    const flat = (it: object, prefix = ""): [string, unknown][] =>
      Object.entries(it).flatMap(([name, value]) =>
        typeof value === "object" ? flat(value, `${prefix}${name}.`) : [[prefix + name, spell(value)]],
      );
    const { plain, isolated } = supported;
    const columns = [plain.chromium, plain.firefox, isolated.chromium, isolated.firefox, isolated.webkit];
    const [first, ...rest] = columns.map((it) => flat(it));
    expect(table(doc("docs/support.md"), "support()", "Chromium, JSPI")).toEqual(
      first!.map(([name, value], i) => [name, value, ...rest.map((it) => it[i]![1])]),
    );
  });

  test("the traps", () => {
    expect(firstColumn(table(doc("docs/guests.md"), "trap", "from"))).toEqual(TRAPS);
  });

  test("the entries of the log", () => {
    expect(firstColumn(table(doc("docs/log.md"), "type", "says")).sort()).toEqual([...ENTRY_TYPES].sort());
  });

  test("what only the kernel knows", () => {
    const vak = source("src/policy/engine.ts").match(/^ {2}vak: \{(.*?)^ {2}\};/ms)?.[1] ?? "";
    const fields = [...vak.matchAll(/^ {4}(\w+)\??:/gm)].map((match) => match[1]);
    expect(firstColumn(table(doc("docs/policy.md"), "field", "type"))).toEqual(fields);
  });

  test("the WASI functions", () => {
    const rows = table(doc("docs/guests.md"), "state", "functions");
    const names = rows.flatMap(([, functions]) => functions!.split(":")[0]!.split(" "));
    expect(names.sort()).toEqual(Object.keys(WASI_IMPORTS.wasi_snapshot_preview1!).sort());
  });
});

test("the table of contents lists every page once", () => {
  const listed = [...doc("docs/README.md").text.matchAll(/^- \[[^\]]+\]\(([\w-]+\.md)\):/gm)].map((match) => match[1]!);
  const pages = docs.map(({ path }) => path.match(/^docs\/(.+)$/)?.[1]).filter((name) => name && name !== "README.md");
  expect(listed.sort()).toEqual(pages.sort());
});

test("CONTRIBUTING names every room of src/", () => {
  const rooms = readdirSync(join(root, "src"), { withFileTypes: true });
  const named = firstColumn(table(doc("CONTRIBUTING.md"), "room", "holds"));
  expect(named.sort()).toEqual(rooms.map((it) => `src/${it.name}${it.isDirectory() ? "/" : ""}`).sort());
});

test("README has at most 200 lines", () => {
  expect(doc("README.md").text.split("\n").length).toBeLessThanOrEqual(200);
});

describe("references", () => {
  const links = docs.flatMap((it) =>
    [...it.text.replace(/^```.*?^```$/gms, "").matchAll(/\]\(([^)\s]+)\)/g)].map((match) => ({
      from: it.path,
      to: match[1]!,
    })),
  );
  const inside = links.filter(({ to }) => !/^https:/.test(to));

  test("links lead to files and headings that exist", () => {
    expect(inside.length).toBeGreaterThan(40);
    const broken = inside.filter(({ from, to }) => {
      const [file = "", anchor] = to.split("#");
      const path = file === "" ? from : join(dirname(from), file);
      if (!existsSync(join(root, path))) return true;
      return anchor !== undefined && !anchors(doc(path)).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  test("paths in the text name files that exist", () => {
    const named = docs.flatMap((it) =>
      [...it.text.matchAll(/`((?:src|test|docs|demo|build|scripts|dist)\/[^`\s*<]*)`/g)].map((match) => match[1]!),
    );
    expect(named.length).toBeGreaterThan(15);
    const built = JSON.stringify([source("package.json"), "dist/vak.js", "dist/vak.global.js"]);
    const made = (path: string) =>
      path.startsWith("dist/")
        ? built.includes(path) || path === "dist/python.wasm"
        : existsSync(join(root, path)) || path === "test/guests/out/";
    expect(named.filter((path) => !made(path))).toEqual([]);
  });

  test("each attack of the threat model names a test that exists", () => {
    const model = doc("docs/threat-model.md");
    const attacks = model.text.split("\n").filter((line) => /^\|.*\.(test|cases)\.ts\)/.test(line));
    expect(attacks.length).toBeGreaterThan(25);
    for (const line of attacks) {
      const { path, title } = line.match(/\]\((?<path>[^)]+)\) "(?<title>[^"]+)" \|$/)?.groups ?? {};
      expect(path, line).toBeDefined();
      expect(source(join("docs", path!)).includes(title!), line).toBe(true);
    }
  });
});
