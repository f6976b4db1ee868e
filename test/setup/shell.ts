import { expect } from "vitest";
import { openBundle, verify } from "../../src/audit/index.ts";
import type { Agent, Kernel, RunResult } from "../../src/index.ts";
import { replayAll } from "../../src/replay/index.ts";
import { loadGuest } from "../guests/load.ts";
import { finish } from "./kernel.ts";

/** Has the guest `shell` execute these lines. Resolves with what it printed for each. */
export async function does(agent: Agent, ...lines: string[]): Promise<string[]> {
  return (await did(agent, ...lines)).out;
}

export async function did(agent: Agent, ...lines: string[]): Promise<{ out: string[]; result: RunResult }> {
  const { result, stdout } = await finish(agent.run({ stdin: lines.map((line) => `${line}\n`).join("") }));
  return { out: stdout.split("\n").slice(0, -1), result };
}

/** Checks that every run of the kernel's agents replays the same, and that its log verifies. */
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

/** An empty directory of the origin private file system, which has the same interface as one that a person picked. */
export async function directory(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(`test-${crypto.randomUUID()}`, { create: true });
}

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

/** All files below a directory, by path, as text; for a directory, whose path ends in a slash, "". */
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
