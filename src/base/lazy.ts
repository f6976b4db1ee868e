/** Loads code on first use. */
import { VakError } from "../errors.ts";

/**
 * Awaits a part of vak that was not needed before. If it cannot be loaded, the operation that needs it does not happen.
 *
 * @throws VakError `log-unavailable`
 */
export async function lazy<T>(part: Promise<T>): Promise<T> {
  try {
    return await part;
  } catch (cause) {
    const message =
      "A part of vak could not be loaded: the page is offline, or a new version has replaced it. Reload the page.";
    throw new VakError("log-unavailable", message, { cause });
  }
}
