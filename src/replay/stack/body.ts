/** A function as a tree: its blocks, its branches, and the calls that may be on the stack when it is captured. */
import * as Op from "../../wasm/opcode.ts";
import { i32 } from "../../wasm/type.ts";
import type { Types } from "./value.ts";

/** The instructions between a block's beginning and its end, or its `else`. */
export interface Body {
  params: Types;
  items: Item[];
  /** Those of the items that lead back to the captured call. */
  targets: Target[];
  /** The number of its last site. */
  lastSite: number;
}

/** Instructions that are copied as they are. */
export interface Raw {
  kind: "raw";
  start: number;
  end: number;
}

export interface Branch {
  kind: "branch";
  op: number;
  labels: number[];
}

export interface Block {
  kind: "block";
  op: number;
  params: Types;
  results: Types;
  /** Operands below its parameters, from where the body around it begins. */
  under: Types;
  bodies: Body[];
  lastSite: number;
  /** The locals in which `under` is kept. */
  spills: number[];
}

export interface Call {
  kind: "call";
  start: number;
  end: number;
  /** The function that is called; undefined for an indirect call. */
  callee: number | undefined;
  params: Types;
  results: Types;
  under: Types;
  /** Its number among the sites of the function, from 1; 0 if it is not a site. */
  site: number;
  lastSite: number;
}

export type Target = Block | Call;
export type Item = Raw | Branch | Target;

export const isBlock = (op: number): boolean => op === Op.block || op === Op.loop || op === Op.if;

/** What lies on the stack of a body when control reaches a target. */
export const operandsOf = (target: Target): Types => [
  ...target.under,
  ...target.params,
  ...(target.kind === "call" ? (target.callee === undefined ? [i32] : []) : target.op === Op.if ? [i32] : []),
];
