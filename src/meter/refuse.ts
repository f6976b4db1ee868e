/** How the meter says no: to a caller, and to a module that it does not admit. */
import { VakError } from "../errors.ts";
import { malformed } from "../wasm/malformed.ts";

/** The caller's mistake. */
export function misuse(message: string): never {
  throw new VakError("invalid-argument", `${message}.`);
}

/** A module that is not admitted, and at which byte. */
export const refuse: (message: string, at?: number) => never = malformed;

/** A feature that the meter does not know how to bound. */
export const refuseFeature = (what: string, at: number): never => refuse(`${what} is not admitted`, at);
