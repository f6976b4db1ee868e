/** The problems that a verification finds, up to the one that ends it. */
import { VakError } from "../../errors.ts";
import type { Problem } from "./report.ts";

/** Problems after which verification stops: the bundle is refused, and a longer list would not help anyone. */
const MAX_PROBLEMS = 100;

/** Thrown when there is no point in continuing; the problem is in the report already. */
export class Stop extends Error {}

export class Findings {
  readonly #problems: Problem[];

  /** @param problems where to add what is found */
  constructor(problems: Problem[]) {
    this.#problems = problems;
  }

  /** @throws Stop after {@link MAX_PROBLEMS} */
  add(where: string, message: string): void {
    this.#problems.push({ where, message });
    if (this.#problems.length >= MAX_PROBLEMS) this.stop("verification", "stopped here: there may be more problems");
  }

  /** Adds what was thrown: a VakError becomes a problem; anything else is rethrown. */
  addError(where: string, error: unknown): void {
    this.add(where, reasonOf(error));
  }

  /** @throws Stop */
  stop(where: string, problem: unknown): never {
    this.#problems.push({ where, message: typeof problem === "string" ? problem : reasonOf(problem) });
    throw new Stop();
  }
}

/** The message of a VakError; throws anything else, which is a fault of ours. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof VakError)) throw error;
  return error.message;
}
