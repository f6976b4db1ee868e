/** Many agents at once do not disturb each other. */
import { expect, test } from "vitest";
import { loadGuest } from "../../guests/load.ts";
import { effects, entriesOf, testKernel } from "../../setup/kernel.ts";

test("agents do not disturb each other: some are closed at random while running, and all others finish", async () => {
  await using kernel = await testKernel();
  const [program, endless] = [await loadGuest("agent"), await loadGuest("spin")];
  const agents = await Promise.all(
    Array.from({ length: 18 }, (_, i) =>
      kernel.spawn({
        name: `agent ${i}`,
        program: (i % 6 === 5 ? endless : program).slice(),
        files: { "in.txt": `input ${i}` },
      }),
    ),
  );
  const runs = agents.map((agent) => agent.run());
  const victims = agents.filter((_, i) => i % 6 === 5).sort(() => Math.random() - 0.5);
  for (const victim of victims) await victim.close();
  const results = await Promise.all(runs.map((run) => run.result));
  for (const [i, result] of results.entries()) {
    const killed = i % 6 === 5;
    expect(result).toMatchObject(killed ? { status: "stopped", limit: "aborted" } : { status: "exited", exitCode: 0 });
    if (!killed) expect(await agents[i]!.files.text("out/result.txt")).toContain(`input ${i}`);
  }
  expect(effects).toEqual(Array(15).fill("add 1 2"));
  await Promise.all(agents.map((agent) => agent.close()));
  expect(await entriesOf(kernel, "agent-close")).toHaveLength(18);
});
