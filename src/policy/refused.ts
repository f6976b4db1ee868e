/** The error for a policy that does not load. */
import { VakError } from "../errors.ts";

export function refused(why: string, cause?: unknown): VakError {
  return new VakError("invalid-policy", `The policy is refused: ${why}`, { cause });
}
