import { expect, test } from "vitest";
import { cases, loadProgram } from "../../guests/cases.ts";
import golden from "../../guests/golden.json";
import { finish, testKernel } from "../../setup/kernel.ts";

test.each(cases)("$guest does the same in every engine, to the unit of fuel", async ({ guest, spawn, run }) => {
  await using kernel = await testKernel();
  const program = await loadProgram(guest);
  await using agent = await kernel.spawn({ name: "guest", program, seed: 1, ...spawn });
  const { result } = await finish(agent.run(run));
  const { usage, digest } = result;
  const end =
    "exitCode" in result ? result.exitCode : "trap" in result ? result.trap : "limit" in result && result.limit;
  const seen = { end, fuel: usage.fuel, memoryBytes: usage.memoryBytes, output: usage.outputBytes, digest };
  expect(seen).toEqual((golden as Record<string, unknown>)[guest]);
});
