/** `support()`: loads the probe when called. */
import type { Support } from "./probe.ts";

/**
 * Finds out what this page can do in this browser. It starts a worker in each isolation, and ends it; where the page's
 * Content Security Policy refuses one, the browser reports a violation.
 *
 * @example
 * const { agents, isolation } = await support();
 * const kernel = agents && (await createKernel({ policy, isolation: isolation.frame ? "frame" : "opaque" }));
 */
export async function support(): Promise<Support> {
  const { probe } = await import("./probe.ts");
  return probe();
}
