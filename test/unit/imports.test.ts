/** The architecture as a test: which rooms of `src/` may import which, and which are pure. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
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

const browserGlobals = new Set([
  "BroadcastChannel",
  "DedicatedWorkerGlobalScope",
  "HTMLElement",
  "SharedWorker",
  "Worker",
  "XMLHttpRequest",
  "caches",
  "document",
  "importScripts",
  "indexedDB",
  "localStorage",
  "navigator",
  "postMessage",
  "self",
  "sessionStorage",
  "window",
]);

/** The text of source files, by path below `src/`, such as `kernel/agent.ts`. */
type Sources = Record<string, string>;

interface SourceFile {
  imports: string[];
  /** All identifiers except names of properties. */
  identifiers: Set<string>;
}

function parse(path: string, text: string): SourceFile {
  const { program, errors } = parseSync(path, text);
  if (errors.length) throw new Error(`${path}: ${errors[0]?.message}`);
  const file: SourceFile = { imports: [], identifiers: new Set() };
  const visit = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    if (Array.isArray(node)) {
      node.forEach(visit);
      return;
    }
    const { type, source, name, ...rest } = node as Record<string, unknown>;
    // Import and export declarations, import() and import types all have a `source`.
    const from = (source as { value?: unknown } | null | undefined)?.value;
    if (typeof from === "string") file.imports.push(from);
    if (type === "Identifier" && typeof name === "string") file.identifiers.add(name);
    for (const [key, child] of Object.entries(rest)) {
      const isName =
        !rest.computed && ((type === "MemberExpression" && key === "property") || key === "key") && !isGlobalThis(rest);
      if (!isName) visit(child);
    }
  };
  visit(program);
  return file;
}

/** For a property of `globalThis`: `globalThis.window` counts as `window`. */
function isGlobalThis({ object }: Record<string, unknown>): boolean {
  return (object as { name?: string } | undefined)?.name === "globalThis";
}

const roomOf = (path: string): string => path.split("/")[0]!.replace(/\.ts$/, "");

/** Every violation of the rules above in these sources. */
function faults(sources: Sources): string[] {
  const found: string[] = [];
  const edges = new Map<string, string[]>();
  for (const [path, text] of Object.entries(sources)) {
    const room = roomOf(path);
    const allowed = arrows[room];
    if (!allowed && !beyond.includes(room)) found.push(`${path}: the room ${room} has no row in the table`);
    const file = parse(path, text);
    const targets: string[] = [];
    for (const from of file.imports) {
      if (from.startsWith("node:") && room !== "cli") found.push(`${path} imports ${from}: only cli may use Node`);
      if (!from.startsWith(".")) continue;
      const target = normalize(join(dirname(path), from.replace(/\?.*$/, "")));
      if (!target.endsWith(".ts")) continue;
      if (!(target in sources)) {
        found.push(`${path} imports ${from}, which does not exist`);
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
      for (const name of file.identifiers)
        if (browserGlobals.has(name)) found.push(`${path} is in a pure room but uses ${name}`);
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

test("imports in src/ point one way, without circles, and its pure rooms use no browser globals", () => {
  const src = fileURLToPath(new URL("../../src/", import.meta.url));
  const paths = readdirSync(src, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"));
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
    ]) {
      check({ "sandbox/a.ts": form, "kernel/b.ts": 'import "../errors.ts";' }, fault);
    }
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
    expect(faults({ "log/database.ts": "indexedDB;", "tool/a.ts": "x.window; ({ document: 1 });" })).toEqual([]);
  });

  test("a module of Node in code for browsers", () => {
    check({ "kernel/a.ts": 'import "node:fs";' }, "kernel/a.ts imports node:fs: only cli may use Node");
    expect(faults({ "cli/cli.ts": 'import "node:fs";' })).toEqual([]);
  });
});
