import type { EntityJson, Schema, SchemaJson } from "@cedar-policy/cedar-wasm/web";
import { VakError } from "../errors.ts";
import type { PolicyEntity } from "./engine.ts";
import { type Cedar, messageOf } from "./read.ts";

/** The schema of a bundle's own entity types, put into the one that the tools give. */
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
  if (mine?.entityTypes.Agent) throw refused("its schema declares Agent, which is vak's own");
  const own = Object.keys(mine?.entityTypes ?? {}).filter((name) => name !== "Tool");
  const types = [
    ...own,
    ...Object.entries(others).flatMap(([name, { entityTypes }]) =>
      Object.keys(entityTypes).map((type) => `${name}::${type}`),
    ),
  ];
  const { entityTypes, ...rest } = base[""]!;
  // A tool may belong to whatever the bundle declares; `entity Tool` of its own says otherwise, and may have attributes.
  const merged = { ...entityTypes, Tool: { memberOfTypes: types }, ...mine?.entityTypes };
  return {
    ...others,
    "": { ...rest, entityTypes: merged, ...(mine?.commonTypes && { commonTypes: mine.commonTypes }) },
  };
}

/**
 * What Cedar is given with a call of each tool. A thousand entities cost milliseconds a decision, so it is given only
 * those that the call or a policy can lead to: the tool's own, those that policies name, and what is above or within
 * those.
 *
 * @param named as `Type::"id"`, the entities that policies name
 * @throws VakError `invalid-policy` when they do not fit the schema, or one is given twice
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
    if (uid.type === "Agent" || uid.type.endsWith("Action")) throw refused(`${keyOf(uid)} is not for a bundle to say`);
    if (uid.type === "Tool" && !names.includes(uid.id)) throw refused(`there is no tool "${uid.id}" for an entity`);
    if (all.has(keyOf(uid))) throw refused(`${keyOf(uid)} is given twice`);
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

/** The entities that a policy or an entity speaks of, as `Type::"id"`: a superset, for whatever has `type` and `id`. */
export function uidsIn(value: unknown): Set<string> {
  const found = new Set<string>();
  const todo: unknown[] = [value];
  for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
    if (typeof node !== "object" || node === null) continue;
    const { type, id } = node as { type?: unknown; id?: unknown };
    if (typeof type === "string" && typeof id === "string") found.add(keyOf({ type, id }));
    todo.push(...Object.values(node));
  }
  return found;
}

const keyOf = ({ type, id }: { type: string; id: string }): string => `${type}::${JSON.stringify(id)}`;

function refused(why: string): VakError {
  return new VakError("invalid-policy", `The policy is refused: ${why}.`);
}
