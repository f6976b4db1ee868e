/** The errors that vak throws, and their codes. */

/** Every code a {@link VakError} can carry. Codes are stable: programs may branch on them. */
export type VakErrorCode =
  | "aborted" // the caller's AbortSignal fired before there was a result
  | "closed" // the kernel, agent or log was closed
  | "agent-busy" // the agent is running already
  | "agent-lost" // the agent's worker has ended; spawn the agent again
  | "files-conflict" // files of a mount were changed elsewhere too: neither version was overwritten
  | "files-denied" // the browser does not (or no longer) allow this page to read or write a mounted directory
  | "files-in-use" // another tab or agent is using these kept files
  | "files-unavailable" // a mount cannot be read or written: it is gone, damaged, too large, or the disk is full
  | "invalid-argument" // an argument is of the wrong type or out of range
  | "invalid-bundle" // an exported log does not verify, or is not an exported log
  | "invalid-limit" // a limit is unknown, not finite, or out of its range
  | "invalid-module" // the program is not WebAssembly that vak admits
  | "invalid-policy" // a policy does not parse or validate
  | "invalid-tool" // a tool's definition is incomplete or contradictory
  | "log-corrupt" // what the log's storage holds contradicts itself
  | "log-in-use" // another tab or kernel writes this log
  | "log-rollback" // the log differs from what an anchor or this browser has seen, or is shorter
  | "log-unavailable" // the log cannot be written: no effect may happen
  | "not-found" // no such file or entry
  | "policy-unavailable" // the policy engine cannot be loaded
  | "signer-failed" // the signer that you gave did not sign; the log continues unsigned
  | "unsupported"; // this browser, or this version of vak, cannot do it

/**
 * Thrown when the SDK is misused or cannot continue. What a guest does wrong is never thrown: it is a result.
 *
 * @example
 * try {
 *   await kernel.spawn({ name: "a", program: bytes });
 * } catch (error) {
 *   if (error instanceof VakError && error.code === "invalid-module") show(error.message);
 * }
 */
export class VakError extends Error {
  override readonly name = "VakError";
  readonly code: VakErrorCode;

  /** @param message what went wrong and what to do about it, in one or two sentences */
  constructor(code: VakErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
