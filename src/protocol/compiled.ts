/** What a compiled program depends on: agents for which all of it is the same share one, in kernels and in replays. */
import type { Limits } from "../limits.ts";

/** The limits that metering writes into the code. */
export const meteredLimits = ({ memoryBytes, tableElements, stackDepth }: Limits) => ({
  memoryBytes,
  tableElements,
  stackDepth,
});

/** Names a compiled program by its digest and the limits in its code. */
export const compiledKey = (digest: string, limits: Limits): string => digest + JSON.stringify(meteredLimits(limits));
