/** Continuing a recorded run from one of its calls, as a run of a new agent. */
import { VakError } from "../errors.ts";
import { checkLabels } from "../labels.ts";
import type { Limits } from "../limits.ts";
import type { ForkPoint } from "../protocol/trace.ts";
import type { Agent } from "./agent.ts";
import type { ForkOptions, SpawnOptions } from "./options.ts";
import type { Run } from "./run.ts";

/**
 * @param spawn makes an agent with the mounts of a recorded one
 * @throws VakError as `Kernel.fork`
 */
export async function fork(
  spawn: (options: SpawnOptions, mounts: ForkPoint["mounts"]) => Promise<Agent>,
  point: ForkPoint,
  options: ForkOptions,
): Promise<{ agent: Agent; run: Run }> {
  const { name, seed, limits, program, machine, mounts } = point;
  const labels = checkLabels(point.labels, "a fork point");
  const agent = await spawn({ ...options, name, seed, limits: limits as Partial<Limits>, labels }, mounts);
  const close = () => void agent.close();
  options.signal?.addEventListener("abort", close, { once: true });
  try {
    if (agent.program !== program) {
      throw new VakError(
        "invalid-argument",
        `This is not the recorded program; give the one whose SHA-256 is ${program}.`,
      );
    }
    if (agent.machine !== machine) {
      const ours = `this version of vak executes ${agent.machine}`;
      throw new VakError("unsupported", `The run was recorded on the machine ${machine}; ${ours}.`);
    }
    return { agent, run: await agent.fork(point, options.signal) };
  } catch (error) {
    await agent.close();
    throw error;
  } finally {
    options.signal?.removeEventListener("abort", close);
  }
}
