/** The corpus of hostile modules, in browsers. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Agent, Isolation, Kernel } from "../../../src/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { effects, finish, testKernel } from "../../setup/kernel.ts";
import { type Attack, attacks } from "./hostile.cases.ts";

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

test("every group has attacks", () => {
  const counts = Object.entries(attacks).map(([group, list]) => `${group} ${list.length}`);
  const names = Object.values(attacks).flatMap((list) => list.map(({ name }) => name));
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThan(100);
  console.log(`${names.length} hostile programs: ${counts.join(", ")}`);
});

describe.each(Object.entries(attacks))("attack: %s", (_, list) => {
  test.each(list)("$name", (attack) => isSafe(attack, "opaque"));
});

// `npm run hostile` runs them all in every level; frames have theirs in frame.test.ts.
const some = Object.entries(attacks).flatMap(([group, list]) =>
  list.filter((_, i) => i % 12 === 0).map((attack) => ({ group, ...attack })),
);
describe("in a worker of the page's own origin", () => {
  test.each(some)("attack: $group: $name", (attack) => isSafe(attack, "page"));
});

async function isSafe({ program, limits = {}, safe, stdout }: Attack, isolation: Isolation): Promise<void> {
  const spawned = kernel.spawn({ name: "hostile", program: program(), limits, isolation });
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
}
