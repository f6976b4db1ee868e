/** An anchor: a memory of checkpoints outside the log's own storage, such as your server or a C2SP witness. */
import type { Checkpoint } from "./checkpoint.ts";

/**
 * A memory outside the browser's storage: your server, or a witness. The log must extend what it has seen.
 *
 * @example
 * const anchor: Anchor = {
 *   newest: async (origin) => (await fetch(`/checkpoints/${encodeURIComponent(origin)}`)).text(),
 *   put: async ({ note }) => {
 *     await fetch("/checkpoints", { method: "POST", body: note });
 *     return undefined;
 *   },
 * };
 */
export interface Anchor {
  /**
   * The newest checkpoint that it has of the log of this origin, as a signed note; undefined when it has none. Without
   * this method, `put` is called when the log is opened.
   */
  newest?(origin: string): Promise<string | undefined>;
  /**
   * Keeps a checkpoint. It may return signature lines, such as cosignatures, which are kept with the checkpoint.
   *
   * @throws VakError `log-rollback` when it has seen a different or a longer log of this origin, which ends this one;
   *   after any other error it is tried again with the next checkpoint
   */
  put(checkpoint: Checkpoint, proofs: ProofSource): Promise<string | undefined>;
}

export interface ProofSource {
  /** The consistency proof between two sizes of the log (RFC 6962 §2.1.2); empty when the old size is 0. */
  consistency(oldSize: number, newSize: number): Promise<Uint8Array[]>;
}
