/** Abort signals that a caller gives. */
import { VakError } from "../errors.ts";

/**
 * Asks the browser whether this is an AbortSignal, of any realm: what only looks like one breaks whoever listens to it.
 *
 * @throws VakError `invalid-argument`
 */
export function checkSignal(signal: AbortSignal | undefined): void {
  try {
    if (signal !== undefined) Reflect.get(AbortSignal.prototype, "aborted", signal);
  } catch {
    throw new VakError("invalid-argument", "signal must be an AbortSignal.");
  }
}

/** What is thrown because a signal aborted: with the signal's reason as its cause. */
export const aborted = (what: string, { reason }: AbortSignal): VakError =>
  new VakError("aborted", `The ${what} was aborted.`, { cause: reason });
