/** Continuing a recorded run from one of its calls, as a run of a new agent. */
import { aborted } from "../base/signal.ts";
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
  const { name, seed, limits, mounts } = point;
  const labels = checkLabels(point.labels, "a fork point");
  const agent = await spawn({ ...options, name, seed, limits: limits as Partial<Limits>, labels }, mounts);
  const close = () => void agent.close();
  options.signal?.addEventListener("abort", close, { once: true });
  try {
    return { agent, run: await agent.fork(point, options.signal) };
  } catch (error) {
    await agent.close();
    throw options.signal?.aborted ? aborted("fork", options.signal) : error;
  } finally {
    options.signal?.removeEventListener("abort", close);
  }
}
