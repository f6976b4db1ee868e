/** Vitest's global setup for the project `package`: packs vak, and installs the tarball into an empty project. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** The folder of a project whose only dependency is the packed vak. */
    app: string;
    /** The paths of all files in the tarball. */
    packed: string[];
  }
}

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));

/** The tarball of `npm test`, or one packed now, which builds vak first unless `npm test` has; and its files. */
async function pack(folder: string): Promise<{ tarball: string; files: string[] }> {
  const packed = process.env.VAK_PACKED;
  if (packed) {
    const { stdout } = await run("tar", ["--list", "--gzip", "--file", packed]);
    return {
      tarball: packed,
      files: stdout
        .trim()
        .split("\n")
        .map((path) => path.replace(/^package\//, "")),
    };
  }
  const options = ["--json", "--pack-destination", folder];
  if (process.env.VAK_BUILT === "1") options.push("--ignore-scripts");
  const { stdout } = await run("npm", ["pack", ...options], { cwd: root });
  // The build's output comes first.
  const [{ filename, files }] = JSON.parse(stdout.slice(stdout.search(/^\[$/m)));
  return { tarball: join(folder, filename), files: files.map(({ path }: { path: string }) => path) };
}

/** Installs the tarball as a user would, into an empty project in another folder. */
export default async function install(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "vak-package-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const { tarball, files } = await pack(folder);
    const app = join(folder, "app");
    await mkdir(app);
    await writeFile(join(app, "package.json"), '{ "name": "app", "private": true, "type": "module" }\n');
    await run("npm", ["install", "--no-audit", "--no-fund", tarball], { cwd: app });
    for (const [file, source] of [
      ["job.js", "job.js"],
      ["public/agent.wasm", "../guests/out/agent.wasm"],
    ] as const) {
      await mkdir(join(app, file, ".."), { recursive: true });
      await writeFile(join(app, file), await readFile(new URL(source, import.meta.url)));
    }
    project.provide("app", app);
    project.provide("packed", files.sort());
    return remove;
  } catch (error) {
    await remove();
    throw error;
  }
}
