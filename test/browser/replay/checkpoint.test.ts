/** Going back in a run from a checkpoint, in browsers. */
import { expect, test } from "vitest";
import { openBundle } from "../../../src/audit/index.ts";
import { openReplay, replay } from "../../../src/replay/index.ts";
import { digestState } from "../../e2e/replay/state.ts";
import { loadGuest } from "../../guests/load.ts";
import { finish, testKernel } from "../../setup/kernel.ts";

test("going back in a run resumes from a checkpoint, with the same state, in this engine too", async () => {
  const program = await loadGuest("busy");
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "busy", program, seed: 3, files: { "inbox.txt": "first" } });
  const run = agent.run({ args: ["60"] });
  const done = finish(run);
  for (let n = 0; n < 5; n++) await agent.files.write("inbox.txt", `meanwhile ${n}`);
  await done;
  await finish(agent.run({ args: ["10"] }));
  const bundle = await openBundle(await kernel.log.export());

  const replayer = await openReplay(bundle, { program });
  expect(await replayer.replay(2)).toMatchObject({ verdict: "same" });
  for (const [run, call] of [
    [1, 25],
    [1, 12],
    [2, 4],
    [1, 28],
  ] as const) {
    const until = { call };
    const there = await replayer.replay(run, { until });
    const { verdict, state } = await replay(bundle, run, { program, until });
    expect(state?.reached).toBe(true);
    expect({ verdict: there.verdict, ...(await digestState(there.state!)) }).toEqual({
      verdict,
      ...(await digestState(state!)),
    });
  }
  expect(replayer.checkpoints(1).length).toBeGreaterThan(10);
});
