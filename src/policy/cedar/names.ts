/** Finds names in a policy that mean nothing, although Cedar accepts them. */
import type { EntityUidJson, PolicyJson, TypeAndId } from "@cedar-policy/cedar-wasm/web";
import { AGENT, type ToolView, type View } from "./view.ts";

type Node = { readonly [key: string]: unknown };

/**
 * Finds a name in a policy that means nothing. Cedar's validation refuses `context.input.amuont`, but accepts
 * `context.input has amuont` and `resource == Tool::"sned"`, which are well-typed and always false: a `forbid` with one
 * would load and never match. The same is true of `has` with a declared field that has no Cedar type.
 *
 * @returns what is wrong, or undefined
 */
export function strayName(policy: PolicyJson, views: ReadonlyMap<string, ToolView>): string | undefined {
  const scope = [...views].filter(([tool, view]) => matches(policy.action, tool, view)).map(([, view]) => view);
  const todo: unknown[] = [policy.resource, ...policy.conditions.map((condition) => condition.body)];
  for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
    if (!isNode(node)) continue;
    const stray = strayTool(node, views) ?? (isNode(node.has) ? strayField(node.has, scope) : undefined);
    if (stray) return stray;
    for (const child of Object.values(node)) todo.push(child);
  }
  return undefined;
}

/** Whether the scope of a policy can match calls of a tool. */
export function matches(action: PolicyJson["action"], tool: string, { groups }: ToolView): boolean {
  if (action.op === "All" || "slot" in action) return true;
  const ids = ("entities" in action ? action.entities : [action.entity]).map((entity) => uid(entity).id);
  return ids.includes(`call:${tool}`) || groups.some((group) => ids.includes(group));
}

function strayTool(node: Node, views: ReadonlyMap<string, ToolView>): string | undefined {
  const { type, id } = node;
  if (type !== "Tool" || typeof id !== "string" || views.has(id)) return undefined;
  return `there is no tool "${id}", so \`Tool::"${id}"\` matches nothing`;
}

function strayField(has: Node, scope: readonly ToolView[]): string | undefined {
  const path = pathOf(has.left);
  const names = [has.attr].flat() as string[];
  const [variable, ...rest] = [...(path ?? []), ...names];
  if (path === undefined) {
    // Not a plain path: it could mean a field that is hidden anywhere in scope.
    const hidden = scope
      .flatMap((view) => view.hidden)
      .find((field) => names.some((name) => field.path.endsWith(`.${name}`)));
    return hidden && `policies cannot see ${hidden.path}: ${hidden.why}`;
  }
  const full = [variable, ...rest].join(".");
  if (variable === "principal" && !resolves(AGENT, rest)) return `an Agent has no ${rest.join(".")}`;
  if (variable === "resource" || variable === "action") return `\`${full}\` is declared nowhere`;
  if (variable !== "context") return undefined;
  const hidden = scope.flatMap((view) => view.hidden).find((field) => `${full}.`.startsWith(`context.${field.path}.`));
  if (hidden) return `policies cannot see ${hidden.path}: ${hidden.why}`;
  return scope.some((view) => resolves(view.context, rest)) ? undefined : `no tool declares ${full}`;
}

/** Whether an expression anywhere reads or tests an attribute, such as `context.vak.approved`. */
export function refersTo(expression: unknown, name: string): boolean {
  const todo: unknown[] = [expression];
  for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
    if (!isNode(node)) continue;
    if (pathOf(node)?.join(".") === name) return true;
    if (isNode(node.has)) {
      const names = [...(pathOf(node.has.left) ?? []), ...[node.has.attr].flat()];
      if (names.join(".") === name) return true;
    }
    for (const child of Object.values(node)) todo.push(child);
  }
  return false;
}

/** `context.input.a` as a list, if an expression is only a variable with attributes. */
function pathOf(expression: unknown): string[] | undefined {
  const names: string[] = [];
  let at = expression;
  while (isNode(at) && isNode(at["."])) {
    names.unshift(String(at["."].attr));
    at = at["."].left;
  }
  return isNode(at) && typeof at.Var === "string" ? [at.Var, ...names] : undefined;
}

function resolves(view: View, path: readonly string[]): boolean {
  let at: View | undefined = view;
  for (const name of path) at = at?.type === "Record" ? at.fields.get(name)?.view : undefined;
  return at !== undefined;
}

function uid(entity: EntityUidJson): TypeAndId {
  return "__entity" in entity ? entity.__entity : entity;
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null;
}
