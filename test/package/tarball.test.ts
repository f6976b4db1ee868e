/** The tarball's files, exports and types. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, inject, test } from "vitest";

const run = promisify(execFile);
const app = inject("app");
const packed = inject("packed");

test("the tarball contains every file that package.json points to", async () => {
  const { exports, bin, unpkg, jsdelivr } = JSON.parse(
    await readFile(join(app, "node_modules/vak/package.json"), "utf8"),
  );
  const paths = (value: unknown): string[] =>
    typeof value === "string" ? [value] : Object.values(value as object).flatMap(paths);
  const targets = paths([exports, bin, unpkg, jsdelivr]);
  expect(targets.length).toBeGreaterThan(10);
  for (const target of targets) expect(packed).toContain(target.replace(/^\.\//, ""));
});

test("the tarball contains what a package needs, and nothing else", () => {
  for (const file of ["README.md", "LICENSE", "CHANGELOG.md", "package.json"]) expect(packed).toContain(file);
  const expected =
    /^(README\.md|LICENSE|CHANGELOG\.md|package\.json|docs\/[\w-]+\.md|dist\/(vendor\/)?[\w.-]+\.js|dist\/cedar\.wasm|dist\/types\/.+\.d\.ts)$/;
  expect(packed.filter((path) => !expected.test(path))).toEqual([]);
});

test("each module of vak is in exactly one file, which all entries share; the CDN files, the worker and the command are self-contained", async () => {
  const alone = /^dist\/(vak|vak\.global|cli|worker|worker-[\w-]+)\.js$/;
  const shared = packed.filter((path) => /^dist\/[^/]+\.js$/.test(path) && !alone.test(path));
  const modules: string[] = [];
  for (const path of shared) {
    const code = await readFile(join(app, "node_modules/vak", path), "utf8");
    // The build marks the beginning of each module with its path.
    for (const [, name] of code.matchAll(/^\/\/ (src\/.+)$/gm)) modules.push(name!);
  }
  expect(modules.length).toBeGreaterThan(50);
  expect(modules.filter((name, i) => modules.indexOf(name) !== i)).toEqual([]);
});

test("Node can import every entry, and all of them throw the same VakError", async () => {
  const script = `
    import { VakError, MiB } from "vak";
    import { VakApproval } from "vak/approval";
    import { verify, parseVkey } from "vak/audit";
    import { fetchTool } from "vak/fetch";
    import { instrument } from "vak/meter";
    import { stockPolicies } from "vak/policies";
    import { pythonModule } from "vak/python";
    import { replay } from "vak/replay";
    try { parseVkey("x"); } catch (error) { console.log(error instanceof VakError, error.code); }
    try { instrument(new Uint8Array(8)); } catch (error) { console.log(error instanceof VakError, error.code); }
    await replay(new Map(), 1).catch((error) => console.log(error instanceof VakError, error.code));
    try { fetchTool({ allow: [] }); } catch (error) { console.log(error instanceof VakError, error.code); }
    console.log(MiB, typeof verify, typeof stockPolicies, typeof pythonModule, typeof replay, typeof VakApproval, typeof import.meta.resolve("vak/worker"));`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", script], { cwd: app });
  expect(stdout).toBe(
    "true invalid-bundle\ntrue invalid-module\ntrue invalid-bundle\ntrue invalid-argument\n1048576 function string string function function string\n",
  );
});

const consumer = `
import type { VakApproval } from "vak/approval";
import { openBundle, type Report, verify } from "vak/audit";
import { type FetchToolOptions, fetchTool } from "vak/fetch";
import { instrument } from "vak/meter";
import { stockPolicies } from "vak/policies";
import { pythonModule } from "vak/python";
import { type Replay, replay } from "vak/replay";
import { createKernel, defineTool, type Kernel, MiB, type RunResult, VakError } from "vak";
import * as cdn from "vak/cdn";

export async function main(bytes: Uint8Array<ArrayBuffer>, element: VakApproval): Promise<RunResult> {
  const add = defineTool({
    name: "add",
    description: "Adds two integers.",
    inputSchema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } }, required: ["a"] },
    execute: ({ a, b }, { signal }) => {
      const first: number = a;
      // @ts-expect-error: b may be absent
      const second: number = b;
      return signal.aborted ? first : second;
    },
  });
  const web: FetchToolOptions = { allow: [{ origin: "https://api.example.com", methods: ["GET"] }] };
  const tools = [add, fetchTool(web)];
  await using kernel: Kernel = await createKernel({ policy: "", tools, log: { name: "x" }, onApproval: element.ask });
  document.querySelector("vak-approval") satisfies VakApproval | null;
  await using agent = await kernel.spawn({ name: "a", program: bytes, limits: { memoryBytes: 16 * MiB } });
  // @ts-expect-error: there is no such limit
  await kernel.spawn({ name: "a", program: bytes, limits: { memory: 1 } });
  const run = agent.run({ args: ["x"], env: { A: "b" } });
  for await (const chunk of run.stdout) chunk satisfies Uint8Array;
  const result = await run.result;
  switch (result.status) {
    case "exited":
      result.exitCode satisfies number;
      break;
    case "stopped":
      result.limit satisfies string;
      break;
  }
  // @ts-expect-error: only after looking at the status
  result.exitCode;
  const replayed: Replay = await replay(await openBundle(await kernel.log.export({ programs: [bytes] })), 1);
  replayed.verdict satisfies "same" | "diverged" | "interrupted" | "incomplete";
  const report: Report = await verify(await openBundle(await kernel.log.export()));
  if (!report.ok) throw new VakError("invalid-bundle", report.problems[0]?.message ?? pythonModule + stockPolicies);
  // @ts-expect-error: there is no such code
  new VakError("nonsense", "");
  instrument(bytes).bytes satisfies Uint8Array;
  cdn.createKernel satisfies typeof createKernel;
  return result;
}
`;

test.each(["bundler", "nodenext"])(
  "the types compile in strict TypeScript with moduleResolution %s",
  async (moduleResolution) => {
    const options = {
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noEmit: true,
      skipLibCheck: false,
      types: [],
      target: "es2022",
      lib: ["es2022", "esnext.disposable", "dom", "dom.asynciterable"],
      module: moduleResolution === "bundler" ? "esnext" : "nodenext",
      moduleResolution,
    };
    await writeFile(join(app, "consumer.ts"), consumer);
    await writeFile(join(app, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["consumer.ts"] }));
    const tsc = fileURLToPath(new URL("../../node_modules/.bin/tsc", import.meta.url));
    const { stdout } = await run(tsc, ["-p", app]).catch((error) => error as { stdout: string });
    expect(stdout).toBe("");
  },
);
