import type { AgentRef } from "../audit/vocabulary/common.ts";
import { VakError } from "../errors.ts";
import { joinLabels, MAX_LABELS } from "../labels.ts";
import type { AuditLog } from "../log/log.ts";

/**
 * What an agent has read, as far as the kernel knows: of its memory and its files as one. Kept on this side alone; a
 * worker is not asked, so it cannot lie about it. They only grow, until the host declassifies.
 */
export class Labels {
  private held = joinLabels();

  /** @throws VakError as {@link join} */
  constructor(held: readonly string[] = []) {
    this.join(held);
  }

  /** In order, each once. As long as it is the same array, nothing has changed. */
  get list(): readonly string[] {
    return this.held;
  }

  /** @throws VakError `invalid-argument` when there would be too many; nothing has changed then */
  join(more: readonly string[]): void {
    this.held = this.joined(more);
  }

  /** What there would be after {@link join}, and throws as that does. */
  joined(more: readonly string[]): readonly string[] {
    if (more.every((label) => this.held.includes(label))) return this.held;
    const all = joinLabels(this.held, more);
    if (all.length <= MAX_LABELS) return all;
    throw new VakError("invalid-argument", `An agent has at most ${MAX_LABELS} labels; use coarser ones.`);
  }

  /** The host's act; see `agent.declassify`. */
  drop(gone: readonly string[]): void {
    this.held = joinLabels(this.held.filter((label) => !gone.includes(label)));
  }
}

/**
 * Joins labels in one turn with the entry that says so: no intent can come between the two.
 *
 * @returns settles when the log has it
 * @throws VakError as {@link Labels.join}, at once
 */
export function label(
  { labels, log, ref }: { labels: Labels; log: AuditLog; ref: AgentRef },
  more: readonly string[],
): Promise<unknown> {
  const before = labels.list;
  labels.join(more);
  if (labels.list === before) return Promise.resolve();
  return log.append({ type: "agent-label", agent: ref, labels: [...more] });
}

/**
 * The labels of what tools keep between calls: of a store, those of every agent that was let to call a tool of it. What
 * one agent puts there and another takes out is so labelled as the first one was.
 */
export class Stores {
  private readonly stores = new Map<string, readonly string[]>();

  of(store: string | undefined): readonly string[] {
    return (store !== undefined && this.stores.get(store)) || [];
  }

  join(store: string | undefined, labels: readonly string[]): void {
    if (store !== undefined) this.stores.set(store, joinLabels(this.of(store), labels));
  }
}
