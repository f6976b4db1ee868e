/** The errors of mounts: what the browser's file system refuses, as a `VakError` that says what to do. */

import { VakError } from "../errors.ts";

export const unavailable = (message: string, cause?: unknown): VakError =>
  new VakError("files-unavailable", message, { cause });

/** Turns an error of the browser's file system into one for the page. */
export function refusal(where: string, cause: unknown): VakError {
  if (cause instanceof VakError) return cause;
  const { name, message } = cause as Error;
  if (name === "NotAllowedError" || name === "SecurityError") {
    const ask = "Ask for it again, on a click: handle.requestPermission({ mode })";
    return new VakError("files-denied", `The browser no longer lets this page use ${where}. ${ask}.`, { cause });
  }
  if (name === "NotFoundError")
    return unavailable(`${where} is gone, or changes while it is read: restore it, then try again.`, cause);
  if (name === "QuotaExceededError")
    return unavailable(`${where} cannot be written: the storage is full; free some.`, cause);
  return unavailable(`${where} cannot be used: ${message || name}.`, cause);
}
