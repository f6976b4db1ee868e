/** What is found wrong with a log that is stored. */
import { VakError } from "../errors.ts";
import type { TreeHead } from "../tlog/checkpoint.ts";

export function corrupt(what: string, cause?: unknown): VakError {
  const message = `The stored log contradicts itself: ${what}. Keep it to be looked into, and use a log of another name.`;
  return new VakError("log-corrupt", message, { cause });
}

export function rollback(what: string): VakError {
  const message = `The log was rolled back or replaced: ${what}. Keep it to be looked into, and use a log of another name.`;
  return new VakError("log-rollback", message);
}

/** @param told what the browser says of it */
export function lost(known: TreeHead | undefined, told?: string): VakError {
  const what = known ? `which had ${known.size} entries or more, origin ${known.origin}` : "if there was one";
  const message =
    `The browser has lost the database of this log, ${what}${told ? ` (it says: ${told})` : ""}. ` +
    'Look for an export or an anchor of it; then use a log of another name, or say onLost: "forget" to begin a new one.';
  return new VakError("log-rollback", message);
}
