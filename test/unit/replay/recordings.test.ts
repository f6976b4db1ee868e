/**
 * Recordings that were made when they were committed, in a browser, of `recordings/program.wat`: one for each machine,
 * whose name they bear. A machine that is raised gets another one; the earlier ones stay, and are refused by name.
 */
import { readdirSync, readFileSync } from "node:fs";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { MACHINE, openReplay, replay } from "../../../src/replay/index.ts";
import { wat } from "../meter/assemble.ts";

const folder = new URL("recordings/", import.meta.url);
const machines = readdirSync(folder)
  .filter((name) => name.endsWith(".zip"))
  .map((name) => name.slice(0, -".zip".length).replaceAll("-", "/"));
const open = (machine: string) =>
  openBundle(new Uint8Array(readFileSync(new URL(`${machine.replaceAll("/", "-")}.zip`, folder))));

test("there is a recording of the current machine, of the program next to it", async () => {
  expect(machines).toContain(MACHINE);
  const program = wat(readFileSync(new URL("program.wat", folder), "utf8"));
  const paths = [...(await (await open(MACHINE)).paths())];
  expect(paths).toContain(`programs/${bytesToHex(sha256(program))}.wasm`);
});

test.each(machines)(
  "%s: it verifies, and either replays the same or is refused by the machine's name",
  async (machine) => {
    const bundle = await open(machine);
    expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
    if (machine !== MACHINE) {
      const refused = replay(bundle, 1);
      await expect(refused).rejects.toMatchObject({ code: "unsupported", message: expect.stringContaining(machine) });
      return;
    }
    expect(await replay(bundle, 1)).toMatchObject({ verdict: "same", divergence: null, missing: null, calls: 5 });
    const replayer = await openReplay(bundle);
    await replayer.replay(1);
    for (const call of [4, 2]) {
      const until = { call };
      expect(await replayer.replay(1, { until })).toEqual(await replay(bundle, 1, { until }));
    }
  },
);

test("a recording of another machine is refused by its name, and nothing is executed", async () => {
  const bundle = await open(MACHINE);
  const paths = [...(await bundle.paths())];
  const other = MACHINE.replace(/\d+$/, (version) => `${(Number(version) + 1) % 10}`);
  const files = new Map<string, Uint8Array>();
  for (const path of paths) {
    const bytes = (await bundle.read(path, 2 ** 24))!;
    // In the entries; the length stays the same.
    const text = Buffer.from(bytes).toString("latin1").replaceAll(MACHINE, other);
    files.set(path, new Uint8Array(Buffer.from(text, "latin1")));
  }
  expect(await verify({ paths: async () => files.keys(), read: async (path) => files.get(path) })).toMatchObject({
    ok: false,
  });
  await expect(replay(files, 1)).rejects.toMatchObject({
    code: "unsupported",
    message: expect.stringContaining(other),
  });
});
