/** Where checkpoints go that they may be remembered when the browser's storage is not what it was. */
import type { Checkpoint } from "./checkpoint.ts";

/**
 * A memory outside of the browser's storage: your server, a witness. What it has seen, the log must extend.
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
   * this method, `put` is asked when the log is opened.
   */
  newest?(origin: string): Promise<string | undefined>;
  /**
   * Keeps a checkpoint. It may answer with signature lines, such as cosignatures: they are kept with the checkpoint.
   *
   * @throws VakError `log-rollback` when it has seen another or a longer log of this origin, which ends this one;
   *   anything else is tried again with the next checkpoint
   */
  put(checkpoint: Checkpoint, proofs: ProofSource): Promise<string | undefined>;
}

export interface ProofSource {
  /** RFC 6962 §2.1.2, as `AuditLog.consistency` gives it. */
  consistency(oldSize: number, newSize: number): Promise<Uint8Array[]>;
}
