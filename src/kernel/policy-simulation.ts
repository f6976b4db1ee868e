/** Simulates another policy over the calls of a log. */
import type { Bundle } from "../audit/bundle.ts";
import type { PolicyEngine, PolicySource } from "../policy/engine.ts";
import type { Simulation } from "../policy/simulate.ts";
import type { KernelLog } from "./kernel-log.ts";

export async function simulateOver(
  engine: PolicyEngine,
  log: Pick<KernelLog, "export"> | Blob | Bundle,
  source: PolicySource,
): Promise<Simulation> {
  const decide = await engine.try(source);
  const [{ simulate }, { openBundle }] = await Promise.all([
    import("../policy/simulate.ts"),
    import("../audit/zip.ts"),
  ]);
  const exported = "export" in log ? await log.export() : log;
  return simulate(exported instanceof Blob ? await openBundle(exported) : exported, decide);
}
