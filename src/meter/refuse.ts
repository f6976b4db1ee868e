/** Errors of the meter. */
import { VakError } from "../errors.ts";
import { malformed } from "../wasm/malformed.ts";

/** The caller's mistake. */
export function misuse(message: string): never {
  throw new VakError("invalid-argument", `${message}.`);
}

/** A feature that the meter does not know how to bound. */
export const refuseFeature = (what: string, at: number): never => malformed(`${what} is not admitted`, at);
