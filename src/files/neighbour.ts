/**
 * A mount of another agent's folder: a read-only copy, renewed before each run. Once that agent is closed, the last
 * copy stays.
 */

import { VakError } from "../errors.ts";
import { joinLabels } from "../labels.ts";
import type { TreeEntry } from "../protocol/messages.ts";
import type { Bounds } from "./bounds.ts";
import { refusal } from "./mount-errors.ts";
import type { Found, Source } from "./source.ts";
import { sameTree, type Tree, treeOf } from "./tree.ts";

/** Another agent's folder. */
export interface Neighbour {
  id: string;
  /** The labels of what it has read so far. */
  labels(): readonly string[];
  /** Null if there is no such folder. @throws VakError `closed` or `agent-lost` if the agent has ended */
  tree(detail: "digests" | "bytes"): Promise<TreeEntry[] | null>;
}

export class NeighbourSource implements Source {
  readonly #agent: Neighbour;
  readonly #where: string;
  #begun = false;

  constructor(agent: Neighbour, where: string) {
    this.#agent = agent;
    this.#where = where;
  }

  async read(known: Tree, bounds: () => Bounds): Promise<Found> {
    const before = this.#agent.labels();
    try {
      if (this.#begun) {
        const now = await treeOf((await this.#agent.tree("digests")) ?? []);
        if (sameTree(now, known)) return unchanged(known);
      }
      const entries = (await this.#agent.tree("bytes")) ?? [];
      const limits = bounds();
      for (const { path, type, size } of entries) limits.take(path, type === "file" ? size : 0);
      this.#begun = true;
      const contents = new Map(entries.flatMap(({ path, bytes }) => (bytes ? [[path, bytes] as const] : [])));
      // What was declassified meanwhile may still be in it.
      return { tree: await treeOf(entries), contents, labels: joinLabels([before, this.#agent.labels()]) };
    } catch (error) {
      const gone = error instanceof VakError && (error.code === "closed" || error.code === "agent-lost");
      if (gone && this.#begun) return unchanged(known);
      throw gone ? error : refusal(this.#where, error);
    }
  }
}

const unchanged = (known: Tree): Found => ({ tree: new Map(known), contents: new Map() });
