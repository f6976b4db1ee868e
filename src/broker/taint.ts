/** Taint: which labels an agent carries for what it has read. */
import type { AgentRef } from "../audit/vocabulary/common.ts";
import { VakError } from "../errors.ts";
import { joinLabels, MAX_LABELS } from "../labels.ts";
import type { AuditLog } from "../log/log.ts";

/**
 * What an agent has read, as far as the kernel knows; its memory and its files count as one. It is kept on the kernel's
 * side alone: no worker is asked, so none can lie about it. It only grows, until the host declassifies.
 */
export class Taint {
  #held = joinLabels([]);

  /** @throws VakError as {@link join} */
  constructor(held: readonly string[] = []) {
    this.join(held);
  }

  /** In order, each once. As long as it is the same array, nothing has changed. */
  get list(): readonly string[] {
    return this.#held;
  }

  /** @throws VakError `invalid-argument` when there would be too many; nothing has changed then */
  join(more: readonly string[]): void {
    this.#held = this.joined(more);
  }

  /** The result of {@link join}, without the change. Throws as that does. */
  joined(more: readonly string[]): readonly string[] {
    if (more.every((label) => this.#held.includes(label))) return this.#held;
    const all = joinLabels([this.#held, more]);
    if (all.length <= MAX_LABELS) return all;
    throw new VakError("invalid-argument", `An agent can have at most ${MAX_LABELS} labels; use coarser ones.`);
  }

  /** The host's act; see `agent.declassify`. */
  drop(gone: readonly string[]): void {
    this.#held = joinLabels([this.#held.filter((label) => !gone.includes(label))]);
  }
}

/**
 * Joins labels in the same turn as the entry that records them, so that no intent can come between the two.
 *
 * @returns settles when the log has it
 * @throws VakError as {@link Taint.join}, at once
 */
export function label(
  { taint, log, ref }: { taint: Taint; log: AuditLog; ref: AgentRef },
  more: readonly string[],
): Promise<unknown> {
  const before = taint.list;
  taint.join(more);
  if (taint.list === before) return Promise.resolve();
  return log.append({ type: "agent-label", agent: ref, labels: [...more] });
}
