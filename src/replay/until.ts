/** Where a replay is to stop, so that somebody can look inside. */
import { VakError } from "../errors.ts";

/** Before call n is answered, or at the first of the meter's checks at which that much work is done. */
export type Until = { call: number } | { fuel: number };

/** @throws VakError `invalid-argument` */
export function checkUntil(until: Until | undefined): void {
  if (!until) return;
  const number = "call" in until ? until.call : until.fuel;
  if (Number.isSafeInteger(number) && number > 0) return;
  throw new VakError("invalid-argument", "until must be { call: n } or { fuel: n }, where n is a whole number from 1.");
}
