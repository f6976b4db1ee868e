/** What a new agent has from its parent: rights it never exceeds, and labels. */

import { checkGrants, Rights } from "../broker/rights.ts";
import { Taint } from "../broker/taint.ts";
import { VakError } from "../errors.ts";
import { joinLabels } from "../labels.ts";
import type { Tool } from "../tool/definition.ts";
import type { Agent } from "./agent.ts";
import type { SpawnOptions } from "./options.ts";

export interface Inheritance {
  rights: Rights;
  /** The agent's labels. */
  taint: Taint;
  /** What the agent's entry says of them. */
  logged: { parent?: string; grants?: string[]; labels?: string[] };
}

/**
 * @param agents the kernel's agents that live
 * @throws VakError `invalid-argument`
 */
export function inherit(
  { parent, grants, labels = [] }: Pick<SpawnOptions, "parent" | "grants" | "labels">,
  agents: ReadonlySet<Agent>,
  tools: ReadonlyMap<string, Tool>,
): Inheritance {
  if (parent !== undefined && !agents.has(parent)) {
    throw new VakError("invalid-argument", "The parent must be an agent of this kernel that is not closed.");
  }
  const from = parent?.rights ?? new Rights();
  if (from.revoked) {
    throw new VakError("invalid-argument", "The parent's rights were revoked; it has none to pass on.");
  }
  const granted = grants && checkGrants(grants, from, tools);
  const taint = new Taint(joinLabels([parent?.labels ?? [], labels]));
  const logged = {
    ...(parent && { parent: parent.id }),
    ...(granted && { grants: granted }),
    ...(taint.list.length > 0 && { labels: [...taint.list] }),
  };
  return { rights: new Rights(parent?.rights, granted), taint, logged };
}
