/** The architecture as a test: which rooms of `src/` may import which, and which are pure. */
import { readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseSync } from "vite";
import { describe, expect, test } from "vitest";

/**
 * Each folder or file directly in `src/` is a room, and imports only from the rooms in its row. Adding an arrow
 * changes the design; a new room needs a row.
 */
const arrows: Record<string, string[]> = {
  index: ["kernel", "worker", "broker", "files", "policy", "audit", "log", "tlog", "protocol", "tool"],
  kernel: ["worker", "broker", "files", "policy", "audit", "log", "protocol", "tool"],
  broker: ["policy", "audit", "log", "tool"],
  worker: ["files", "protocol"],
  files: ["audit", "protocol"],
  log: ["audit", "tlog"],
  audit: ["tlog"],
  tlog: [],
  policy: ["audit"],
  tool: ["audit"],
  protocol: ["audit"],
  sandbox: ["meter", "protocol", "wasm"],
  meter: ["wasm"],
  replay: ["sandbox", "audit", "protocol", "meter", "wasm", "tool"],
  fetch: ["tool"],
  approval: ["broker"],
  cli: ["audit", "replay", "policy", "tool"],
  wasm: [],
  runtimes: [],
  base: [],
  limits: [],
  labels: [],
  errors: [],
};
/** The ground floor, which every room may import. */
const everyone = ["base", "limits", "labels", "errors"];

/** The packages that each room may import, in any part; `virtual:` is a module that the build makes. */
const packages: Record<string, string[]> = {
  kernel: ["@noble/hashes", "comlink"],
  worker: ["comlink", "virtual:vak-worker"],
  log: ["@noble/ed25519", "@noble/hashes", "idb"],
  audit: ["@noble/hashes", "fflate"],
  tlog: ["@noble/ed25519", "@noble/hashes"],
  policy: ["@cedar-policy/cedar-wasm", "virtual:cedar-glue"],
  tool: ["@cfworker/json-schema"],
  sandbox: ["@bjorn3/browser_wasi_shim", "@noble/hashes", "comlink"],
  replay: ["@noble/hashes"],
  fetch: ["@secretlint/secretlint-rule-preset-recommend", "fast-luhn", "ibantools"],
  cli: ["node:fs", "node:path", "node:url", "node:util"],
  base: ["@noble/hashes"],
};

/** The files in `src/` that are not modules. They are not parsed, so a new one has to be listed. */
const notModules = ["runtimes/vak.py", "sandbox/jspi.d.ts", "virtual.d.ts"];

/** Expressions that can load a module which this test cannot see, each with the one file that needs it. */
const unseen = {
  /** Leads to modules by `new URL`, `glob`, `resolve` and `createRequire`; here, to Cedar's wasm. */
  "import.meta": "policy/cedar/wasm-url.ts",
  /** Here the user names the module, which is a policy. */
  "import() without a string literal": "cli/policy.ts",
  require: null,
  "declare module": null,
  "/// <reference>": null,
};

/**
 * Rooms beyond the core. They import only public entry points: those of `vak`, and each other's. Whatever they cannot
 * do with those is missing from the public API.
 */
const beyond = [
  ...["js", "sqlite", "pyodide", "code", "mcp", "webmcp", "llm", "vault", "plugins"],
  ...["work", "swarm", "memory", "reason", "inspector", "observe"],
];

/** The public entry points, from which the `exports` of package.json are built. */
const entryPoints = [
  "index.ts",
  ...["approval", "audit", "fetch", "meter", "replay"].map((room) => `${room}/index.ts`),
  "policy/stock.ts",
  "runtimes/python.ts",
  ...beyond.map((room) => `${room}/index.ts`),
];

/** Rooms that run anywhere: they need no DOM and no worker. */
const pure = ["base", "wasm", "meter", "tlog", "audit", "tool", "protocol", "replay", "limits", "labels", "errors"];

/** The one file of the ground floor that needs a browser: no pure room may import it. */
const WEB_LOCKS = "base/lock.ts";
/** What single files of pure rooms need of a browser all the same. */
const needs: Record<string, string> = {
  "tlog/witness.ts": "fetch", // which Node has too
  "audit/bundle-writing.ts": "FileSystemDirectoryHandle", // writes to one that it is given
};

/** Where TypeScript keeps what it knows of the platforms. */
const typescript = `../../node_modules/@typescript/typescript-${process.platform}-${process.arch}/lib/`;
/** The interfaces of browsers: `Worker`, `HTMLElement`, `URL`, … */
const interfaces = ["dom", "webworker"].flatMap((lib) => {
  const text = readFileSync(new URL(`${typescript}lib.${lib}.d.ts`, import.meta.url), "utf8");
  return [...text.matchAll(/^declare var ([A-Z]\w+):/gm)].map(([, name]) => name!);
});
const words = (text: string): string[] => text.trim().split(/\s+/);
/** Those that every Node has too, as far as pure rooms use them; and names of ours that browsers have too. */
const portable = words(`
  AbortController AbortSignal Blob DOMException Response TextDecoder TextEncoder URL
  Event External Lock Range
`);
/** What only browsers have, or only Node; not names that variables have too, such as `parent` or `process`. */
const impure = new Set([
  ...interfaces.filter((name) => !portable.includes(name)),
  ...words(`
    addEventListener alert caches cookieStore crossOriginIsolated customElements document fetch getComputedStyle
    importScripts indexedDB isSecureContext localStorage location matchMedia navigator onmessage opener postMessage
    requestAnimationFrame self sessionStorage trustedTypes window
    Buffer clearImmediate setImmediate
  `),
  // From which every global can be reached.
  ...["Function", "eval"],
  // As a value, which can be renamed or indexed: see `isPlainGlobalThis`.
  "globalThis",
]);

/** The text of all files in `src/`, by path below it, such as `kernel/agent.ts`. */
type Sources = Record<string, string>;

interface SourceFile {
  imports: string[];
  unseen: Set<keyof typeof unseen>;
  /** All identifiers except names of properties, and `globalThis` where `isPlainGlobalThis`. */
  identifiers: Set<string>;
}

function parse(path: string, text: string): SourceFile {
  const { program, comments, errors } = parseSync(path, text);
  if (errors.length) throw new Error(`${path}: ${errors[0]?.message}`);
  const file: SourceFile = { imports: [], unseen: new Set(), identifiers: new Set() };
  const visit = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    if (Array.isArray(node)) {
      node.forEach(visit);
      return;
    }
    const { type, source, name, ...rest } = node as Record<string, unknown>;
    // Import and export declarations, import() and import types all have a `source`; `import a = require("b")` has not.
    const specifier = type === "TSExternalModuleReference" ? rest.expression : source;
    const from = (specifier as { value?: unknown } | null | undefined)?.value;
    if (typeof from === "string") file.imports.push(from);
    else if (type === "TSModuleDeclaration" && (rest.id as { type: string }).type === "Literal")
      file.unseen.add("declare module");
    else if (type === "ImportExpression") file.unseen.add("import() without a string literal");
    if (type === "MetaProperty" && isIdentifier(rest.meta, "import")) file.unseen.add("import.meta");
    if (isIdentifier(node, "require")) file.unseen.add("require");
    if (type === "Identifier" && typeof name === "string") file.identifiers.add(name);
    // The argument of a computed import() is under `source`.
    if (typeof from !== "string") visit(source);
    for (const [key, child] of Object.entries(rest)) {
      const isProperty = type === "MemberExpression" && key === "property";
      const isName = !rest.computed && (isProperty || key === "key") && !isIdentifier(rest.object, "globalThis");
      if (!isName && !isPlainGlobalThis(type, rest, key)) visit(child);
    }
  };
  visit(program);
  if (comments.some(({ type, value }) => type === "Line" && /^\/\s*<\s*reference\b/i.test(value))) {
    file.unseen.add("/// <reference>");
  }
  return file;
}

function isIdentifier(node: unknown, name: string): boolean {
  const { type, name: its } = (node ?? {}) as { type?: string; name?: string };
  return type === "Identifier" && its === name;
}

/** `globalThis` in `globalThis.window`, which counts as `window`, and in `"window" in globalThis`, which only asks. */
function isPlainGlobalThis(type: unknown, node: Record<string, unknown>, key: string): boolean {
  if (!isIdentifier(node[key], "globalThis")) return false;
  if (type === "MemberExpression") return key === "object" && !node.computed;
  return key === "right" && node.operator === "in" && (node.left as { type: string }).type === "Literal";
}

const roomOf = (path: string): string => path.split("/")[0]!.replace(/\.ts$/, "");

/** `@noble/hashes` for `@noble/hashes/sha2.js`, `node:fs` for `node:fs/promises`. */
const packageOf = (from: string): string =>
  from
    .split("/")
    .slice(0, from.startsWith("@") ? 2 : 1)
    .join("/");

/** Every violation of the rules above in these sources. */
function faults(sources: Sources): string[] {
  const found: string[] = [];
  const edges = new Map<string, string[]>();
  for (const [path, text] of Object.entries(sources)) {
    if (notModules.includes(path)) continue;
    if (!path.endsWith(".ts") || path.endsWith(".d.ts")) {
      found.push(`${path} is neither a .ts module nor listed`);
      continue;
    }
    const room = roomOf(path);
    const allowed = arrows[room];
    if (!allowed && !beyond.includes(room)) found.push(`${path}: the room ${room} has no row in the table`);
    const file = parse(path, text);
    for (const form of file.unseen)
      if (unseen[form] !== path) found.push(`${path} uses ${form}: this test cannot see what that loads`);
    const targets: string[] = [];
    for (const from of file.imports) {
      if (!from.startsWith(".")) {
        if (isBuiltin(from) && room !== "cli") found.push(`${path} imports ${from}: only cli may use Node`);
        else if (/\/\.\.(\/|$)/.test(from))
          found.push(`${path} imports ${from}: a path may not climb out of a package`);
        else if (!packages[room]?.includes(packageOf(from)))
          found.push(`${path} imports ${from}: it is neither a relative path nor a package that ${room} may import`);
        continue;
      }
      const target = normalize(join(dirname(path), from.replace(/\?.*$/, ""))).replaceAll("\\", "/");
      if (!Object.hasOwn(sources, target)) {
        found.push(`${path} imports ${from}, which is not a file in src`);
        continue;
      }
      targets.push(target);
      const to = roomOf(target);
      if (target === WEB_LOCKS && pure.includes(room)) found.push(`${path} is in a pure room but imports ${target}`);
      if (beyond.includes(room)) {
        if (to !== room && !entryPoints.includes(target)) {
          found.push(`${path} imports ${target}: a room beyond the core may import only public entry points`);
        }
      } else if (to !== room && !everyone.includes(to) && !allowed?.includes(to)) {
        found.push(`${path} imports ${target}: there is no arrow ${room} → ${to}`);
      }
    }
    edges.set(path, targets);
    if (pure.includes(room) && path !== WEB_LOCKS) {
      for (const name of file.identifiers) {
        if (needs[path] === name) continue;
        if (impure.has(name)) found.push(`${path} is in a pure room but uses ${name}`);
      }
    }
  }
  const circle = findCircle(edges);
  if (circle) found.push(`circle: ${circle.join(" → ")}`);
  return found;
}

function findCircle(edges: Map<string, string[]>): string[] | undefined {
  const done = new Set<string>();
  const walk = (path: string, trail: string[]): string[] | undefined => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path];
    if (done.has(path)) return undefined;
    for (const next of edges.get(path) ?? []) {
      const circle = walk(next, [...trail, path]);
      if (circle) return circle;
    }
    done.add(path);
    return undefined;
  };
  for (const path of edges.keys()) {
    const circle = walk(path, []);
    if (circle) return circle;
  }
  return undefined;
}

test("imports in src/ point one way, without circles, and its pure rooms use nothing that only browsers have, or only Node", () => {
  const src = fileURLToPath(new URL("../../src/", import.meta.url));
  const paths = readdirSync(src, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(src, join(entry.parentPath, entry.name)).replaceAll("\\", "/"));
  expect(paths.length).toBeGreaterThan(10);
  expect(faults(Object.fromEntries(paths.map((path) => [path, readFileSync(join(src, path), "utf8")])))).toEqual([]);
});

test("the sandbox's files know nothing of the system calls that reach them", () => {
  const folder = new URL("../../src/sandbox/fs/", import.meta.url);
  for (const name of readdirSync(folder)) {
    expect(parse(name, readFileSync(new URL(name, folder), "utf8")).imports, name).not.toContainEqual(
      expect.stringContaining("/wasi/"),
    );
  }
});

describe("the test finds", () => {
  const check = (sources: Sources, fault: string) => expect(faults({ "errors.ts": "", ...sources })).toEqual([fault]);

  test("an import without an arrow, in every form of import", () => {
    const fault = "sandbox/a.ts imports kernel/b.ts: there is no arrow sandbox → kernel";
    for (const form of [
      'import { b } from "../kernel/b.ts";',
      'import type { B } from "../kernel/b.ts";',
      'import "../kernel/b.ts";',
      'export * from "../kernel/b.ts";',
      'export { b } from "../kernel/b.ts";',
      'const b = await import("../kernel/b.ts");',
      'let b: import("../kernel/b.ts").B;',
      'import type b = require("../kernel/b.ts");',
      'import b from "../kernel/b.ts?raw";',
      'import "./../kernel/b.ts";',
    ]) {
      check({ "sandbox/a.ts": form, "kernel/b.ts": 'import "../errors.ts";' }, fault);
    }
  });

  test("a relative path that is not exactly a file's", () => {
    for (const from of ["../kernel/b", "../kernel/b.js", "../kernel/b.ts#x", "../Kernel/b.ts", "../kernel", ".."]) {
      check(
        { "tlog/a.ts": `import "${from}";`, "kernel/b.ts": "" },
        `tlog/a.ts imports ${from}, which is not a file in src`,
      );
    }
    check(
      { "mcp/a.ts": 'import "../kernel/b";', "kernel/b.ts": "" },
      "mcp/a.ts imports ../kernel/b, which is not a file in src",
    );
    check(
      { "audit/a.ts": 'import "../base/lock";', "base/lock.ts": "" },
      "audit/a.ts imports ../base/lock, which is not a file in src",
    );
    check(
      { "audit/a.ts": 'import "./b";', "audit/b.ts": 'import "./a.ts";' },
      "audit/a.ts imports ./b, which is not a file in src",
    );
  });

  test("an import() without a string literal", () => {
    const fault = "tlog/a.ts uses import() without a string literal: this test cannot see what that loads";
    for (const name of ["`../kernel/b.ts`", '"../kernel/" + "b.ts"', '("../kernel/b.ts" as string)', "name"]) {
      check({ "tlog/a.ts": `import(${name});`, "kernel/b.ts": "" }, fault);
    }
    expect(faults({ "cli/policy.ts": "import(name);" })).toEqual([]);
  });

  test("require, and what adds to another module or file", () => {
    for (const [form, text] of [
      ["require", 'require("../kernel/b.ts");'],
      ["require", '(require as any)("../kernel/b.ts");'],
      ["require", '(0, require)("../kernel/b.ts");'],
      ["require", 'require.resolve("../kernel/b.ts");'],
      ["require", "const load = require;"],
      ["declare module", 'declare module "../kernel/b.ts" {}'],
      ["/// <reference>", '/// <reference path="../kernel/b.ts" />'],
      ["/// <reference>", '/// <Reference path="../kernel/b.ts" />'],
    ]) {
      check(
        { "kernel/a.ts": text!, "kernel/b.ts": "" },
        `kernel/a.ts uses ${form}: this test cannot see what that loads`,
      );
    }
  });

  test("import.meta, from which a module can be reached", () => {
    for (const form of [
      'new URL("../kernel/b.ts", import.meta.url);',
      'import.meta.glob("../kernel/*.ts");',
      'import.meta["glob"]("../kernel/*.ts");',
      'import.meta.resolve("../kernel/b.ts");',
      'createRequire(import.meta.url)("../kernel/b.ts");',
      "const here = import.meta.url;",
    ]) {
      check(
        { "tlog/a.ts": form, "kernel/b.ts": "" },
        "tlog/a.ts uses import.meta: this test cannot see what that loads",
      );
    }
    expect(faults({ "policy/cedar/wasm-url.ts": "import.meta.url;" })).toEqual([]);
  });

  test("a package that the room's list does not hold, a path from the root, and vak by its own name", () => {
    for (const from of ["/src/kernel/b.ts", "vak", "vak/fetch", "https://example.com/b.ts", "#b"]) {
      check(
        { "kernel/a.ts": `import "${from}";`, "kernel/b.ts": "" },
        `kernel/a.ts imports ${from}: it is neither a relative path nor a package that kernel may import`,
      );
    }
    for (const from of ["idb", "comlink", "@noble/curves/ed25519.js"]) {
      check(
        { "tlog/a.ts": `import "${from}";` },
        `tlog/a.ts imports ${from}: it is neither a relative path nor a package that tlog may import`,
      );
    }
    for (const from of ["@noble/ed25519/../../../src/kernel/b.ts", "@noble/hashes/.."]) {
      check(
        { "tlog/a.ts": `import "${from}";`, "kernel/b.ts": "" },
        `tlog/a.ts imports ${from}: a path may not climb out of a package`,
      );
    }
    expect(faults({ "log/a.ts": 'import "idb";', "tlog/a.ts": 'import "@noble/hashes/sha2.js";' })).toEqual([]);
  });

  test("a file that it does not parse", () => {
    for (const path of ["tlog/a.js", "tlog/a.mts", "tlog/a.tsx", "tlog/a.d.ts", "tlog/a.json"]) {
      check({ [path]: "" }, `${path} is neither a .ts module nor listed`);
    }
    expect(faults({ "runtimes/vak.py": "", "runtimes/a.ts": 'import "./vak.py?raw";' })).toEqual([]);
  });

  test("a room without a row in the table", () => {
    check({ "utils/a.ts": "" }, "utils/a.ts: the room utils has no row in the table");
  });

  test("a room beyond the core that reaches past the public entry points, even for the ground floor", () => {
    const from = (target: string) => ({ "mcp/a.ts": `import "../${target}";`, [target]: "" });
    const fault = (target: string) =>
      `mcp/a.ts imports ${target}: a room beyond the core may import only public entry points`;
    for (const target of [
      "broker/broker.ts",
      "log/log.ts",
      "base/bytes.ts",
      "errors.ts",
      "audit/entry.ts",
      "llm/b.ts",
    ]) {
      check(from(target), fault(target));
    }
    for (const target of ["index.ts", "audit/index.ts", "fetch/index.ts", "llm/index.ts", "mcp/b.ts"]) {
      expect(faults(from(target))).toEqual([]);
    }
  });

  test("a room of the core that imports one beyond it", () => {
    check(
      { "kernel/a.ts": 'import "../mcp/index.ts";', "mcp/index.ts": "" },
      "kernel/a.ts imports mcp/index.ts: there is no arrow kernel → mcp",
    );
  });

  test("a circle within a room", () => {
    check(
      { "audit/a.ts": 'import "./b.ts";', "audit/b.ts": 'import type { A } from "./a.ts";' },
      "circle: audit/a.ts → audit/b.ts → audit/a.ts",
    );
  });

  test("the browser's locks, in a pure room", () => {
    const sources = { "audit/a.ts": 'import "../base/lock.ts";', "base/lock.ts": "navigator.locks;" };
    check(sources, "audit/a.ts is in a pure room but imports base/lock.ts");
  });

  test("a browser global in a pure room", () => {
    check({ "meter/a.ts": "window.alert(1);" }, "meter/a.ts is in a pure room but uses window");
    check({ "protocol/a.ts": "globalThis.indexedDB;" }, "protocol/a.ts is in a pure room but uses indexedDB");
    check({ "tool/a.ts": "export let w: Worker;" }, "tool/a.ts is in a pure room but uses Worker");
    check({ "tlog/a.ts": "location.href;" }, "tlog/a.ts is in a pure room but uses location");
    for (const name of [
      "fetch",
      "DOMParser",
      "OffscreenCanvas",
      "RTCPeerConnection",
      "WebSocket",
      "matchMedia",
      "Buffer",
      "setImmediate",
      "Function",
      "eval",
    ]) {
      check({ "tlog/a.ts": `${name}(x);` }, `tlog/a.ts is in a pure room but uses ${name}`);
    }
    expect(faults({ "log/database.ts": "indexedDB;", "tool/a.ts": "x.window; ({ document: 1 });" })).toEqual([]);
    expect(faults({ "tlog/witness.ts": "fetch(url);" })).toEqual([]);
  });

  test("globalThis in a pure room, except to read or ask for a global by its name", () => {
    for (const form of [
      "(globalThis as any).window;",
      'globalThis["indexedDB"];',
      "const { indexedDB: db } = globalThis;",
      "const g = globalThis; g.document;",
      "globalThis.globalThis.document;",
      "name in globalThis;",
    ]) {
      check({ "tlog/a.ts": form }, "tlog/a.ts is in a pure room but uses globalThis");
    }
    check({ "tlog/a.ts": "globalThis?.document;" }, "tlog/a.ts is in a pure room but uses document");
    expect(faults({ "tlog/a.ts": 'globalThis.crypto; "document" in globalThis;' })).toEqual([]);
  });

  test("a module of Node in code for browsers", () => {
    for (const from of ["node:fs", "fs", "fs/promises", "node:module"]) {
      check({ "kernel/a.ts": `import "${from}";` }, `kernel/a.ts imports ${from}: only cli may use Node`);
    }
    expect(faults({ "cli/cli.ts": 'import "node:fs";' })).toEqual([]);
    // Not even there: `createRequire` loads what this test cannot see.
    check(
      { "cli/a.ts": 'import { createRequire } from "node:module";' },
      "cli/a.ts imports node:module: it is neither a relative path nor a package that cli may import",
    );
  });
});
