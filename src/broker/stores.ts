/** Stores: which labels a tool's store carries. */
import { joinLabels } from "../labels.ts";

/**
 * The labels of what tools keep between calls. A store has those of every agent that was allowed to call a tool that
 * uses it, so that what one agent puts there carries its labels to the agent that takes it out.
 */
export class Stores {
  readonly #stores = new Map<string, readonly string[]>();

  of(store: string | undefined): readonly string[] {
    return (store !== undefined && this.#stores.get(store)) || [];
  }

  join(store: string | undefined, labels: readonly string[]): void {
    if (store !== undefined) this.#stores.set(store, joinLabels([this.of(store), labels]));
  }
}
