/** A page with agents whose files are kept, for tests that reload it, open it twice, and close it during a write. */
import { type Agent, createKernel, type Mount, VakError } from "../../../src/index.ts";

/** Bytes of each file that `fill` writes: enough that writing takes a while. */
const SIZE = 120_000;
const NAMES = ["a", "b", "c", "d"];

const shell = fetch("/test/guests/out/shell.wasm").then((response) => response.arrayBuffer());
const kernel = await createKernel({ log: { name: crypto.randomUUID() } });

async function mountsOf(kind: "persist" | "directory", name: string): Promise<Record<string, Mount>> {
  if (kind === "persist") return { k: { persist: name } };
  const root = await navigator.storage.getDirectory();
  return { k: { directory: await root.getDirectoryHandle(name, { create: true }) } };
}

async function run(agent: Agent, lines: string[]): Promise<string[]> {
  const run = agent.run({ stdin: lines.map((line) => `${line}\n`).join("") });
  const [text, result] = await Promise.all([new Response(run.stdout).text(), run.result]);
  if (result.filesError) throw result.filesError;
  return text.split("\n").slice(0, -1);
}

export const page = {
  /** Runs lines in the guest `shell`. Resolves with what it prints, or with the code of the error. */
  async shellOutput(name: string, ...lines: string[]): Promise<string | string[]> {
    try {
      const mounts = { "/": { persist: name } };
      const agent = await kernel.spawn({ name: "shell", program: await shell, mounts });
      return await run(agent, lines);
    } catch (error) {
      return error instanceof VakError ? error.code : String(error);
    }
  },

  /** Rewrites all files with the number of the run, and runs, again and again until the tab is closed. */
  async fill(kind: "persist" | "directory", name: string, from: number): Promise<never> {
    const agent = await kernel.spawn({ name: "shell", program: await shell, mounts: await mountsOf(kind, name) });
    for (let n = from; ; n++) {
      const names = [...NAMES, `new-${n}`];
      for (const file of names) await agent.files.write(`k/${file}`, `${n} `.repeat(SIZE / 4));
      await run(agent, ["ls /k"]);
      console.log(`saved ${n}`);
    }
  },

  /** Reads every file: the number in it, or a description if it was not written completely. */
  async readAll(kind: "persist" | "directory", name: string): Promise<Record<string, number | string>> {
    const agent = await kernel.spawn({ name: "shell", program: await shell, mounts: await mountsOf(kind, name) });
    const found: Record<string, number | string> = {};
    for (const { path } of await agent.files.list()) {
      if (path === "k") continue;
      const text = await agent.files.text(path);
      const n = Number.parseInt(text, 10);
      found[path.slice(2)] = text === `${n} `.repeat(SIZE / 4) ? n : `${text.length} characters`;
    }
    await agent.close();
    return found;
  },
};

Object.assign(globalThis, { page });
