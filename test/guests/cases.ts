/** Every guest that ends, each with files, arguments and limits to run it with. */
import type { RunOptions, SpawnOptions } from "../../src/index.ts";
import { pythonModule } from "../../src/runtimes/python.ts";
import pythonJob from "./job.py?raw";
import { loadGuest, loadPython } from "./load.ts";
import pythonScripts from "./scripts.py?raw";

export interface Case {
  guest: string;
  spawn?: Partial<SpawnOptions>;
  run?: RunOptions;
}

export const cases: Case[] = [
  ..."hello call exit-catch exit-catch-table files floats random sleep start".split(" ").map((guest) => ({ guest })),
  ..."unreachable divide overflow convert memory table indirect null stack"
    .split(" ")
    .map((trap) => ({ guest: `trap-${trap}` })),
  { guest: "agent", spawn: { files: { "in.txt": "some input" } } },
  { guest: "busy", spawn: { files: { "inbox.txt": "first" } }, run: { args: ["20"] } },
  { guest: "args", run: { args: ["é", "日本"], env: { A: "b" }, stdin: "typed" } },
  { guest: "bad-pointers", run: { args: ["x"], env: { A: "b" } } },
  { guest: "grow", spawn: { limits: { memoryBytes: 2 ** 21 } } },
  { guest: "table", spawn: { limits: { tableElements: 1000 } } },
  { guest: "call-flood", spawn: { limits: { calls: 3 } } },
  { guest: "flood", spawn: { limits: { outputBytes: 100_000 } } },
  ..."spin spin-calls flood-nothing count"
    .split(" ")
    .map((guest) => ({ guest, spawn: { limits: { fuel: 5_000_001 } } })),
  {
    guest: "python",
    spawn: { files: { "vak.py": pythonModule, "job.py": pythonJob, "in.json": '{"a":40,"b":2}' } },
    run: { args: ["-u", "/job.py"] },
  },
  {
    guest: "python scripts",
    spawn: { files: { "scripts.py": pythonScripts } },
    run: { args: ["/scripts.py"] },
  },
];

export const loadProgram = (guest: string) => (guest.startsWith("python") ? loadPython() : loadGuest(guest));
