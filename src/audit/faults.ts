/** What is found wrong with a log that is stored. */
import { VakError } from "../errors.ts";

export function corrupt(what: string, cause?: unknown): VakError {
  const message = `The stored log contradicts itself: ${what}. Keep it to be looked into, and use a log of another name.`;
  return new VakError("log-corrupt", message, { cause });
}

export function rollback(what: string): VakError {
  const message = `The log was rolled back or replaced: ${what}. Keep it to be looked into, and use a log of another name.`;
  return new VakError("log-rollback", message);
}
