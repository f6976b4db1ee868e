/** Code that is loaded on first use. */
import { VakError } from "../errors.ts";

/**
 * Awaits a part of vak that was not needed so far. If it cannot be loaded, what it was wanted for does not happen.
 *
 * @throws VakError `log-unavailable`
 */
export async function lazy<T>(part: Promise<T>): Promise<T> {
  try {
    return await part;
  } catch (cause) {
    const message = "A part of vak could not be loaded: the page is offline, or has been replaced; reload it.";
    throw new VakError("log-unavailable", message, { cause });
  }
}
