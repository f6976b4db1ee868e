/** The entities of a policy pack: their types in Cedar's schema, and which of them the decision on a call needs. */
import type { EntityJson, Schema, SchemaJson } from "@cedar-policy/cedar-wasm/web";
import type { PolicyEntity } from "../engine.ts";
import { refused } from "../refused.ts";
import { type Cedar, messageOf } from "./read.ts";

/** Merges the entity types of a policy pack into the schema of the tools. */
export function withTypes(
  cedar: Cedar,
  base: SchemaJson<string>,
  given: string | { readonly [namespace: string]: unknown } | undefined,
): SchemaJson<string> {
  if (given === undefined) return base;
  const answer = cedar.schemaToJson(given as Schema);
  if (answer.type !== "success") throw refused(`its schema: ${answer.errors.map(messageOf).join("; ")}`);
  const { "": mine, ...others } = answer.json;
  for (const { actions } of [...(mine ? [mine] : []), ...Object.values(others)]) {
    const [action] = Object.keys(actions);
    if (action !== undefined) throw refused(`its schema declares the action "${action}"; actions come from the tools`);
  }
  if (mine?.entityTypes.Agent) throw refused("its schema declares Agent, which is the kernel's own type");
  const own = Object.keys(mine?.entityTypes ?? {}).filter((name) => name !== "Tool");
  const types = [
    ...own,
    ...Object.entries(others).flatMap(([name, { entityTypes }]) =>
      Object.keys(entityTypes).map((type) => `${name}::${type}`),
    ),
  ];
  const { entityTypes, ...rest } = base[""]!;
  // A tool may belong to any type that the pack declares, unless the pack declares `entity Tool` itself.
  const merged = { ...entityTypes, Tool: { memberOfTypes: types }, ...mine?.entityTypes };
  return {
    ...others,
    "": { ...rest, entityTypes: merged, ...(mine?.commonTypes && { commonTypes: mine.commonTypes }) },
  };
}

/**
 * The entities that Cedar is given with a call of each tool. A thousand would cost milliseconds for each decision, so
 * it gets only those that the call or a policy can reach: the tool's own entity, those that policies name, and all that
 * these refer to as parents or in attributes.
 *
 * @param named the entities that policies name, as `Type::"id"`
 * @throws VakError `invalid-policy` if they do not conform to the schema, or two have the same uid
 */
export function entitiesByTool(
  cedar: Cedar,
  schema: SchemaJson<string>,
  tools: Iterable<string>,
  given: readonly PolicyEntity[],
  named: ReadonlySet<string>,
): ReadonlyMap<string, EntityJson[]> {
  const names = [...tools];
  const all = new Map<string, EntityJson>();
  for (const entity of given) {
    const { uid, attrs = {}, parents = [] } = entity ?? {};
    if (typeof uid?.type !== "string" || typeof uid.id !== "string")
      throw refused("an entity has no uid of type and id");
    if (uid.type === "Agent" || uid.type.endsWith("Action"))
      throw refused(`${keyOf(uid)} is the kernel's; a pack cannot define it`);
    if (uid.type === "Tool" && !names.includes(uid.id))
      throw refused(`it has an entity for the tool "${uid.id}", which does not exist`);
    if (all.has(keyOf(uid))) throw refused(`${keyOf(uid)} is defined twice`);
    all.set(keyOf(uid), { uid, attrs, parents } as EntityJson);
  }
  for (const name of names) {
    const uid = { type: "Tool", id: name };
    if (!all.has(keyOf(uid))) all.set(keyOf(uid), { uid, attrs: {}, parents: [] });
  }
  const entities = [...all.values()];
  const answer = cedar.checkParseEntities({ schema, entities });
  if (answer.type !== "success") throw refused(`its entities: ${answer.errors.map(messageOf).join("; ")}`);

  return new Map(
    names.map((name) => {
      const found = new Set<string>();
      const todo = [keyOf({ type: "Tool", id: name }), ...named];
      for (let key = todo.pop(); key !== undefined; key = todo.pop()) {
        const entity = all.get(key);
        if (!entity || found.has(key)) continue;
        found.add(key);
        for (const uid of uidsIn(entity)) todo.push(uid);
      }
      return [name, [...found].map((key) => all.get(key)!)] as const;
    }),
  );
}

/** The entities that a policy or an entity refers to, as `Type::"id"`: a superset, any object with `type` and `id`. */
export function uidsIn(value: unknown): Set<string> {
  const found = new Set<string>();
  const todo: unknown[] = [value];
  for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
    if (typeof node !== "object" || node === null) continue;
    const { type, id } = node as { type?: unknown; id?: unknown };
    if (typeof type === "string" && typeof id === "string") found.add(keyOf({ type, id }));
    for (const child of Object.values(node)) todo.push(child);
  }
  return found;
}

const keyOf = ({ type, id }: { type: string; id: string }): string => `${type}::${JSON.stringify(id)}`;
