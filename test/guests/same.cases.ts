/** Every guest does the same everywhere: in every engine, and when its run is re-executed from the exported log. */
import { expect, test } from "vitest";
import { openBundle, verify } from "../../src/audit/index.ts";
import { replay } from "../../src/replay/index.ts";
import { finish, testKernel } from "../setup/kernel.ts";
import { cases, loadProgram } from "./cases.ts";
import golden from "./golden.json";

/** @param replayed whether the runs are re-executed as well */
export function sameCases({ replayed }: { replayed: boolean }): void {
  const also = replayed ? ", and when it is re-executed from the exported log" : "";
  test.each(cases)(
    `$guest does the same in every engine, to the unit of fuel${also}`,
    async ({ guest, spawn, run }) => {
      await using kernel = await testKernel();
      const program = await loadProgram(guest);
      await using agent = await kernel.spawn({ name: "guest", program, seed: 1, ...spawn });
      const { result } = await finish(agent.run(run));
      const { usage, digest } = result;
      const end =
        "exitCode" in result ? result.exitCode : "trap" in result ? result.trap : "limit" in result && result.limit;
      const seen = { end, fuel: usage.fuel, memoryBytes: usage.memoryBytes, output: usage.outputBytes, digest };
      expect(seen).toEqual((golden as Record<string, unknown>)[guest]);
      if (!replayed) return;
      const bundle = await openBundle(await kernel.log.export());
      expect(await verify(bundle)).toMatchObject({ ok: true, problems: [], missing: [] });
      expect(await replay(bundle, 1, { program })).toEqual({
        run: `${agent.id}/1`,
        verdict: "same",
        divergence: null,
        missing: null,
        calls: usage.calls + (guest === "call-flood" ? 1 : 0),
        fuel: usage.fuel,
        notCompared: [],
      });
    },
  );
}
