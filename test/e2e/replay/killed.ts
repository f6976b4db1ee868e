/** A page with an agent that works forever, for a test that kills its browser. */
import { openBundle } from "../../../src/audit/index.ts";
import { createKernel, type Kernel } from "../../../src/index.ts";
import { forkPoint } from "../../../src/replay/index.ts";
import { loadProgram } from "../../guests/cases.ts";
import { add, finish, policy } from "../../setup/kernel.ts";

const open = (): Promise<Kernel> =>
  createKernel({ policy, tools: [add], log: { name: "killed", onBusy: "wait", checkpointMs: 500 } });

async function zipOf(kernel: Kernel): Promise<string> {
  let binary = "";
  for (const byte of new Uint8Array(await (await kernel.log.export()).arrayBuffer()))
    binary += String.fromCharCode(byte);
  return btoa(binary);
}

export const page = {
  /**
   * Runs until the browser is killed, and prints the number of each part of its trace that is on disk, and how many
   * calls were answered before.
   *
   * @param changesFiles whether the page changes the agent's files meanwhile
   */
  async work(clock: "real" | "virtual", changesFiles: boolean): Promise<never> {
    const kernel = await open();
    const files = { "inbox.txt": "before" };
    const limits = { calls: 1_000_000, deadlineMs: 600_000 };
    const agent = await kernel.spawn({ name: "busy", program: await loadProgram("busy"), seed: 5, files, limits });
    const run = agent.run({ clock });
    void finish(run);
    let answered = 0;
    for await (const { entry } of kernel.log.entries({ follow: true })) {
      if (entry.type === "outcome" && entry.run === run.id) answered++;
      if (entry.type !== "trace" || entry.run !== run.id) continue;
      if (changesFiles) void agent.files.write("inbox.txt", `meanwhile ${entry.part}`);
      console.log(`stored ${entry.part} after ${answered}`);
    }
    throw new Error("the log has ended");
  },

  /** The log, after recovery has closed what was open. */
  async recovered(): Promise<string> {
    const kernel = await open();
    const zip = await zipOf(kernel);
    await kernel.close();
    return zip;
  },

  /** Forks a run at one of its calls, and lets it run for a while. */
  async fork(run: number, call: number): Promise<string> {
    const kernel = await open();
    const bundle = await openBundle(await kernel.log.export());
    const forked = await kernel.fork(await forkPoint(bundle, run, { call }), { program: await loadProgram("busy") });
    const done = finish(forked.run);
    const where = { types: ["intent" as const], run: forked.run.id };
    for await (const _ of kernel.log.entries({ follow: true, where })) break;
    forked.run.stop();
    await done;
    const zip = await zipOf(kernel);
    await kernel.close();
    return zip;
  },
};

Object.assign(globalThis, { page });
