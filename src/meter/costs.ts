/**
 * What instructions cost: table `wt1`, which is Wasmtime's default. Each costs 1, except that `nop`, `drop`, `block`,
 * `loop`, `else`, `end`, `delegate`, `return` and `unreachable` cost nothing. Entering a function costs 1 more. Bulk
 * instructions cost 1 more for each byte of memory, or element of a table or an array, that they are asked to touch.
 */
import * as Op from "../wasm/opcode.ts";
import { mark, opcodes } from "./mark.ts";

/** Of core instructions; those with a prefix cost 1 each. */
export const COSTS = opcodes().fill(1);
for (const free of [Op.unreachable, Op.nop, Op.block, Op.loop, Op.else, Op.end, Op.return, Op.delegate, Op.drop]) {
  COSTS[free] = 0;
}

/** 1 for each bulk instruction: one with its length on top of the stack. */
export const GC_BULK = opcodes();
mark(GC_BULK, 1, Op.arrayNew, Op.arrayNewDefault, Op.arrayNewData, Op.arrayNewElem, Op.arrayFill, Op.arrayInitElem);

export const MISC_BULK = opcodes();
mark(MISC_BULK, 1, Op.memoryInit, Op.memoryInit, Op.memoryCopy, Op.tableInit);
mark(MISC_BULK, 1, Op.tableCopy, Op.tableGrow, Op.tableFill, Op.tableFill);

/** None: what an instruction of SIMD touches has a fixed size. */
export const SIMD_BULK = opcodes();
