/** `npx vak verify`, as installed, on a log that a browser exported. */
import { execFile } from "node:child_process";
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { unzipSync, zipSync } from "fflate";
import { beforeAll, expect, inject, test } from "vitest";
import { serve } from "../serve.ts";
import { browsers } from "../setup/launch.ts";
import { page, visit } from "./visit.ts";

const app = inject("app");
const path = join(app, "log.zip");
let zip: Uint8Array;

beforeAll(async () => {
  const script = `
    <script src="/vak/vak.global.js"></script>
    <script type="module">
      import { job } from "./job.js";
      globalThis.outcome = job(window.vak);
    </script>`;
  await using server = await serve({
    directories: {
      "/vak/": join(app, "node_modules/vak/dist"),
      "/job.js": join(app, "job.js"),
      "/agent.wasm": join(app, "public/agent.wasm"),
    },
    pages: { "/": page(script) },
  });
  const browser = await browsers[0]!.launch();
  try {
    const { outcome } = await visit(browser, server.url);
    if (!("zip" in outcome)) throw new Error(outcome.message);
    zip = new Uint8Array(outcome.zip);
  } finally {
    await browser.close();
  }
});

/** Runs a command in the project into which vak is installed. */
function run(command: string, ...args: string[]): Promise<Ended> {
  return new Promise((done) => {
    execFile(command, args, { cwd: app, maxBuffer: 2 ** 26 }, (error, stdout, stderr) =>
      done({ code: error?.code ?? 0, stdout, stderr }),
    );
  });
}

const cli = join(app, "node_modules/vak/dist/cli.js");
const vak = (...args: string[]) => run(process.execPath, cli, ...args);

interface Ended {
  code: unknown;
  stdout: string;
  stderr: string;
}

/**
 * `vak verify` of each of the files, one after the other in a single process: to start one for each takes most of the
 * time. The command's module runs when it is loaded, and under another URL it is loaded again.
 */
async function verifyEach(paths: string[]): Promise<Ended[]> {
  const script = `
    const ended = [];
    for (const [i, path] of ${JSON.stringify(paths)}.entries()) {
      const one = { code: undefined, stdout: "", stderr: "" };
      const written = ["stdout", "stderr"].map((name) => {
        const { write } = process[name];
        process[name].write = (text) => { one[name] += text; return true; };
        return () => { process[name].write = write; };
      });
      process.argv = [process.argv[0], ${JSON.stringify(cli)}, "verify", path];
      process.exitCode = undefined;
      await import(${JSON.stringify(pathToFileURL(cli))} + "?" + i);
      for (const restore of written) restore();
      ended.push({ ...one, code: process.exitCode });
    }
    process.exitCode = 0;
    process.stdout.write(JSON.stringify(ended));`;
  const { code, stdout, stderr } = await run(process.execPath, "--input-type=module", "--eval", script);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout);
}

/** Writes logs beside each other, for {@link verifyEach}. */
async function writeLogs(files: Record<string, Uint8Array>[]): Promise<string[]> {
  const folder = await mkdtemp(join(app, "changed-"));
  return Promise.all(
    files.map(async (files, i) => {
      const path = join(folder, `${i}.zip`);
      await writeFile(path, zipSync(files));
      return path;
    }),
  );
}

test("an exported log verifies, and the output lists its calls and runs", async () => {
  await writeFile(path, zip);
  const { code, stdout } = await run("npx", "--no-install", "vak", "verify", "log.zip");
  expect(stdout).toContain("The log verifies.");
  expect(stdout).toMatch(/allowed {2}call:add on add/);
  expect(stdout).toMatch(/denied {3}call:wipe on wipe {2}no-permit/);
  expect(stdout).toContain("exited with code 0");
  expect(code).toBe(0);
});

test("a log that another tool has zipped again verifies", async () => {
  await writeFile(path, zipSync(unzipSync(zip), { level: 9 }));
  expect(await vak("verify", path)).toMatchObject({ code: 0, stderr: "" });
});

test("attack: one byte of any file changed: it does not verify, and the file or the entry is named", async () => {
  const files = unzipSync(zip);
  const names = Object.keys(files);
  expect(names.length).toBeGreaterThan(5);
  const changes: { name: string; position: number; log: Record<string, Uint8Array> }[] = [];
  for (const name of names) {
    const { length } = files[name]!;
    // The first byte, the last, and some in between.
    const positions = [0, 0.21, 0.5, 0.83].map((part) => Math.floor(part * length)).concat(length - 1);
    for (const position of new Set(positions)) {
      const changed = files[name]!.slice();
      changed[position]! ^= position % 2 ? 1 : 0x20;
      changes.push({ name, position, log: { ...files, [name]: changed } });
    }
  }
  const paths = await writeLogs(changes.map(({ log }) => log));
  const all = await verifyEach(paths);
  expect(all.length).toBe(changes.length);
  // In a process of its own, the last one comes out the same: nothing of those before it is left.
  expect(all.at(-1)).toEqual(await vak("verify", paths.at(-1)!));
  const accepted: string[] = [];
  for (const [i, { name, position }] of changes.entries()) {
    const { code, stdout, stderr } = all[i]!;
    const problems = stdout.slice(0, stdout.indexOf("\n\n"));
    if (code !== 1 || stderr !== "" || !problems.startsWith("THE LOG DOES NOT VERIFY.\n")) {
      accepted.push(`${name} at ${position}: exit code ${code} ${stderr}`);
    } else if (!problems.includes(`  - ${name}: `) && !/^ {2}- .*\bentry \d+/m.test(problems)) {
      accepted.push(`${name} at ${position}: ${stdout}`);
    }
  }
  expect(accepted).toEqual([]);
});

test("attack: a file removed: it does not verify, except that a value may be missing, which the report says", async () => {
  const files = unzipSync(zip);
  const names = Object.keys(files);
  const without = names.map((name) => Object.fromEntries(Object.entries(files).filter(([other]) => other !== name)));
  const paths = await writeLogs(without);
  const all = await verifyEach(paths);
  expect(all.length).toBe(names.length);
  expect(all.at(-1)).toEqual(await vak("verify", paths.at(-1)!));
  for (const [i, name] of names.entries()) {
    const { code, stdout } = all[i]!;
    if (name.startsWith("values/"))
      expect({ code, stdout }, name).toMatchObject({ code: 0, stdout: expect.stringContaining("Not checked") });
    else {
      const problems = expect.stringMatching(/^THE LOG DOES NOT VERIFY\.\n {2}- ./);
      expect(all[i], name).toMatchObject({ code: 1, stdout: problems, stderr: "" });
    }
  }
});

test("a zip that is cut short, or not a zip, is refused", async () => {
  await writeFile(path, zip.subarray(0, zip.length - 1));
  expect(await vak("verify", path)).toMatchObject({ code: 1, stderr: expect.stringContaining("zip") });
  await writeFile(path, "not a log");
  expect(await vak("verify", path)).toMatchObject({ code: 1, stderr: expect.stringContaining("zip") });
});
