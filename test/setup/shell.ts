/** Helpers for tests of files and mounts: the guest `shell`, directories, and replaying all that a kernel ran. */
import { expect } from "vitest";
import { openBundle, verify } from "../../src/audit/index.ts";
import type { Agent, Kernel, RunResult } from "../../src/index.ts";
import { replayAll } from "../../src/replay/index.ts";
import { loadGuest } from "../guests/load.ts";
import { finish } from "./kernel.ts";

/** Executes lines in the guest `shell`. Resolves with what it printed for each. */
export async function shellOutput(agent: Agent, ...lines: string[]): Promise<string[]> {
  return (await shellRun(agent, ...lines)).out;
}

/** As {@link shellOutput}, with the run's result. */
export async function shellRun(agent: Agent, ...lines: string[]): Promise<{ out: string[]; result: RunResult }> {
  const { result, stdout } = await finish(agent.run({ stdin: lines.map((line) => `${line}\n`).join("") }));
  return { out: stdout.split("\n").slice(0, -1), result };
}

/** Checks that the kernel's log verifies, and that every run in it replays the same. */
export async function expectSame(kernel: Kernel, guest = "shell"): Promise<void> {
  const bundle = await openBundle(await kernel.log.export({ programs: [await loadGuest(guest)] }));
  expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
  let runs = 0;
  for await (const { verdict, divergence, missing } of replayAll(bundle)) {
    expect({ verdict, divergence, missing }).toEqual({ verdict: "same", divergence: null, missing: null });
    runs++;
  }
  expect(runs).toBeGreaterThan(0);
}

/** An empty directory of the origin private file system, with the same interface as one that the user picked. */
export async function directory(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(`test-${crypto.randomUUID()}`, { create: true });
}

/** Writes a file below a directory, and creates the directories on its path. */
export async function write(
  folder: FileSystemDirectoryHandle,
  path: string,
  data: string | BufferSource,
): Promise<void> {
  const parts = path.split("/");
  const name = parts.pop()!;
  for (const part of parts) folder = await folder.getDirectoryHandle(part, { create: true });
  const stream = await (await folder.getFileHandle(name, { create: true })).createWritable();
  await stream.write(data);
  await stream.close();
}

/**
 * The text of all files below a directory, by path. Directories are there too: their path ends in a slash, their text
 * is "".
 */
export async function contents(folder: FileSystemDirectoryHandle, prefix = ""): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const [name, handle] of folder.entries()) {
    if (handle.kind === "file") {
      found[prefix + name] = await (await (handle as FileSystemFileHandle).getFile()).text();
    } else {
      found[`${prefix}${name}/`] = "";
      Object.assign(found, await contents(handle as FileSystemDirectoryHandle, `${prefix}${name}/`));
    }
  }
  return found;
}
