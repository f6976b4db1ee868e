import { expect, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { replay } from "../../../src/replay/index.ts";
import { cases, loadProgram } from "../../guests/cases.ts";
import { finish, testKernel } from "../../setup/kernel.ts";

test.each(cases)(
  "$guest: a run is the same when it is re-executed from the exported log",
  async ({ guest, spawn, run }) => {
    await using kernel = await testKernel();
    const program = await loadProgram(guest);
    await using agent = await kernel.spawn({ name: "guest", program, seed: 1, ...spawn });
    const { result } = await finish(agent.run(run));
    const bundle = await openBundle(await kernel.log.export());
    expect(await verify(bundle)).toMatchObject({ ok: true, problems: [], missing: [] });
    expect(await replay(bundle, 1, { program })).toEqual({
      run: `${agent.id}/1`,
      verdict: "same",
      divergence: null,
      missing: null,
      calls: result.usage.calls + (guest === "call-flood" ? 1 : 0),
      fuel: result.usage.fuel,
      notCompared: [],
    });
  },
);
