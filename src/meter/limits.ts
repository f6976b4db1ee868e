/** How large a module may be, beyond what the engines' own limits allow. */

import { malformed } from "../wasm/malformed.ts";
import type { Module } from "../wasm/module.ts";

export const MODULE_LIMITS = {
  /** Bytes of a module, unless `maxModuleBytes` says otherwise. */
  moduleBytes: 256 * 1024 * 1024,
  /** Functions, imported ones included. */
  functions: 900_000,
  /** Parameters and locals of one function. */
  locals: 49_900,
  /** Blocks within one another in one function. */
  nesting: 60_000,
  /** Tables of one module. */
  tables: 100,
  /** Array elements that the module's constant expressions allocate together. */
  constantElements: 1_000_000,
} as const;

/** @throws VakError `invalid-module` */
export function checkCounts({ functions, tables }: Module): void {
  if (functions.length > MODULE_LIMITS.functions) {
    malformed(`${functions.length} functions; the limit is ${MODULE_LIMITS.functions}`);
  }
  if (tables.length > MODULE_LIMITS.tables) malformed(`${tables.length} tables; the limit is ${MODULE_LIMITS.tables}`);
}
