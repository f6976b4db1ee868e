/** The base of every policy of a kernel: the tools as policies see them, the budgets and the constitution. */
import type { SchemaJson } from "@cedar-policy/cedar-wasm/web";
import { canonicalJson } from "../../base/canonical.ts";
import { VakError } from "../../errors.ts";
import type { Budget } from "../budget.ts";
import type { PolicyTool } from "../engine.ts";
import { cedarSchema, type HiddenField, type ToolView, viewTool } from "./view.ts";

export interface Base {
  readonly views: ReadonlyMap<string, ToolView>;
  readonly hidden: readonly HiddenField[];
  readonly schema: SchemaJson<string>;
  readonly tools: ReadonlyMap<string, PolicyTool>;
  readonly budgets: Budgets;
  /** Cedar text: forbids that no policy can override. */
  readonly constitution: string;
  /** Everything that a decision depends on, in canonical JSON; the base can be rebuilt from it. */
  readonly text: string;
}

export type Budgets = { readonly [name: string]: Budget };

/** @throws VakError `invalid-tool` if two tools have the same name */
export function makeBase(tools: readonly PolicyTool[], budgets: Budgets = {}, constitution = ""): Base {
  const views = new Map(tools.map((tool) => [tool.name, viewTool(tool, Object.keys(budgets))]));
  if (views.size !== tools.length) throw new VakError("invalid-tool", "Two tools have the same name; rename one.");
  const seen = tools.map(({ name, inputSchema, groups, accepts, leaks }) => ({
    ...{ inputSchema, name },
    ...(groups && { groups }),
    ...(accepts && { accepts }),
    ...(leaks ? { leaks: true } : {}),
  }));
  const more = { ...(Object.keys(budgets).length > 0 && { budgets }), ...(constitution !== "" && { constitution }) };
  const text = canonicalJson({ tools: seen, ...more }, MAX_BASE_DEPTH);
  return {
    views,
    hidden: [...views.values()].flatMap((view) => view.hidden),
    schema: cedarSchema(views),
    tools: new Map(tools.map((tool) => [tool.name, tool])),
    budgets,
    constitution,
    text,
  };
}

/** Levels of a tool's schema (64), and of the JSON around it. */
const MAX_BASE_DEPTH = 68;
