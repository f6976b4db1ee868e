/** Kinds of imports and exports (WebAssembly 3.0, sections 5.5.5 and 5.5.10). Import it as `External`. */
import { unknown } from "./malformed.ts";
import type { Reader } from "./reader.ts";

export const func = 0;
export const table = 1;
export const memory = 2;
export const global = 3;
export const tag = 4;

export type ExternKind = "func" | "table" | "memory" | "global" | "tag";
const KINDS: readonly ExternKind[] = ["func", "table", "memory", "global", "tag"];

export function readKind(reader: Reader): ExternKind {
  const at = reader.pos;
  const kind = reader.byte();
  return KINDS[kind] ?? unknown("kind of import or export", kind, at);
}
