/**
 * Moves past constant expressions (WebAssembly 3.0, section 3.4.14), and bounds what they allocate: instantiation
 * evaluates them before there is a budget.
 */
import { malformed, unknown } from "./malformed.ts";
import * as Op from "./opcode.ts";
import type { Reader } from "./reader.ts";
import { readHeapType } from "./value-type.ts";

/** How many array elements the constant expressions of a module may allocate together. */
export class Allocations {
  readonly #limit: number;
  #left: number;

  constructor(limit: number) {
    this.#limit = limit;
    this.#left = limit;
  }

  /** @param at where they are allocated */
  take(elements: number, at: number): void {
    this.#left -= elements;
    if (this.#left < 0) malformed(`constant expressions allocate more than ${this.#limit} array elements`, at);
  }
}

/** An array's length must be a plain constant: otherwise what it allocates would not be known here. */
export function skipConstant(reader: Reader, allocations: Allocations): void {
  let previous: number | undefined;
  for (;;) {
    const at = reader.pos;
    const op = reader.byte();
    let constant: number | undefined;
    if (op === Op.end) return;
    if (op === Op.i32Const) constant = reader.signed(33);
    else if (op === Op.i64Const) reader.signed(70);
    else if (op === Op.f32Const) reader.skip(4);
    else if (op === Op.f64Const) reader.skip(8);
    else if (op === Op.globalGet || op === Op.refFunc) reader.u32();
    else if (op === Op.refNull) readHeapType(reader);
    else if (op === Op.simdPrefix) {
      if (reader.u32() !== Op.v128Const) unknown("constant instruction", op, at);
      reader.skip(16);
    } else if (op === Op.gcPrefix) skipAllocation(reader, previous, allocations, at);
    else if (!isArithmetic(op)) unknown("constant instruction", op, at);
    previous = constant;
  }
}

/** Additions, subtractions and multiplications of integers. */
const isArithmetic = (op: number): boolean =>
  (op >= Op.i32Add && op <= Op.i32Mul) || (op >= Op.i64Add && op <= Op.i64Mul);

/** @param length the constant in front of the instruction, if there is one */
function skipAllocation(reader: Reader, length: number | undefined, allocations: Allocations, at: number): void {
  const op = reader.u32();
  if (op === Op.anyConvertExtern || op === Op.externConvertAny || op === Op.refI31) return;
  const isStruct = op === Op.structNew || op === Op.structNewDefault;
  if (!isStruct && (op < Op.arrayNew || op > Op.arrayNewFixed)) unknown("constant instruction", op, at);
  reader.u32();
  let elements = 1;
  if (op === Op.arrayNewFixed) elements = reader.u32();
  else if (!isStruct) {
    if (length === undefined) malformed("the length of an array in a constant expression must be an i32.const", at);
    elements = length >>> 0;
  }
  allocations.take(elements, at);
}
