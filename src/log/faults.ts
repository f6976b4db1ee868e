/** The errors for a stored log that fails its checks; loaded only when one does. */

import { VakError } from "../errors.ts";
import type { TreeHead } from "../tlog/checkpoint.ts";

const KEEP = "Keep it for an investigation, and use a log with another name.";

export function corrupt(what: string, cause?: unknown): VakError {
  const message = `The stored log contradicts itself: ${what}. ${KEEP}`;
  return new VakError("log-corrupt", message, { cause });
}

export function rollback(what: string): VakError {
  const message = `The log was rolled back or replaced: ${what}. ${KEEP}`;
  return new VakError("log-rollback", message);
}

/** @param reported the browser's own account of the loss */
export function lost(known: TreeHead | undefined, reported?: string): VakError {
  const what = known ? `which had ${known.size} entries or more, origin ${known.origin}` : "if there was one";
  const message =
    `The browser has lost the database of this log, ${what}${reported ? ` (it says: ${reported})` : ""}. ` +
    'Look for an export or an anchor of it; then use a log with another name, or set onLost: "forget" to start a new one.';
  return new VakError("log-rollback", message);
}
