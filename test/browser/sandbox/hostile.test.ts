import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Agent, Kernel } from "../../../src/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { effects, finish, testKernel } from "../../setup/kernel.ts";
import { attacks } from "./hostile.cases.ts";

let kernel: Kernel;
/** Has what no attacker may see or change. */
let bystander: Agent;
let before: string;

beforeAll(async () => {
  kernel = await testKernel();
  bystander = await kernel.spawn({ name: "bystander", program: await loadGuest("hello"), files: { secret: "kept" } });
  before = await bystander.files.snapshot();
});

afterAll(async () => {
  expect(await bystander.files.snapshot()).toBe(before);
  expect(await finish(bystander.run())).toMatchObject({ stdout: "hello\n", result: { status: "exited" } });
  expect(effects).toEqual([]);
  await kernel.close();
});

test("there are attacks of every group", () => {
  const counts = Object.entries(attacks).map(([group, list]) => `${group} ${list.length}`);
  const names = Object.values(attacks).flatMap((list) => list.map(({ name }) => name));
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThan(100);
  console.log(`${names.length} hostile programs: ${counts.join(", ")}`);
});

describe.each(Object.entries(attacks))("attack: %s", (_, list) => {
  test.each(list)("$name", async ({ program, limits = {}, safe, stdout }) => {
    const spawned = kernel.spawn({ name: "hostile", program: program(), limits });
    if (safe instanceof RegExp) {
      await expect(spawned).rejects.toMatchObject({ code: "invalid-module", message: expect.stringMatching(safe) });
      return;
    }
    const agent = await spawned;
    const ran = await finish(agent.run());
    expect({ ...ran.result, stderr: ran.stderr }).toMatchObject(safe);
    if (stdout !== undefined) expect(ran.stdout).toBe(stdout);
    // It ended in order: its worker is as it was, and the digest says that it ends so every time.
    expect(ran.result.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(await agent.files.list()).toBeInstanceOf(Array);
    await agent.close();
  });
});
