/** Where an agent's worker runs, and how it is isolated from the page. */
import { VakError } from "../errors.ts";

/**
 * How an agent's worker is isolated from the page: `"opaque"`, a `data:` worker with an origin of its own; `"frame"`,
 * such a worker inside a sandboxed iframe whose Content Security Policy forbids all network; or `"page"`, a worker of
 * the page's own origin, for pages whose policy allows nothing else.
 */
export type Isolation = "opaque" | "frame" | "page";

export interface Place {
  isolation: Isolation;
  /** Where `vak/worker` is served from. Only with isolation `"page"`. */
  workerUrl?: string | URL | undefined;
}

/** @throws VakError `invalid-argument`; `unsupported` for a frame where there is no document */
export function checkPlace({ isolation = "opaque", workerUrl }: Partial<Place>): Place {
  if (isolation !== "opaque" && isolation !== "frame" && isolation !== "page") {
    throw new VakError(
      "invalid-argument",
      `There is no isolation ${JSON.stringify(isolation)}; use "opaque", "frame" or "page".`,
    );
  }
  if (isolation === "frame" && typeof document === "undefined") {
    throw new VakError("unsupported", 'Isolation "frame" needs a document; in a worker, use "opaque".');
  }
  if (workerUrl !== undefined && isolation !== "page") {
    throw new VakError(
      "invalid-argument",
      'A workerUrl belongs to the page\'s own origin: pass isolation: "page" as well.',
    );
  }
  return { isolation, workerUrl };
}
