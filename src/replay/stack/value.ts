/** Values that a frame can keep: their sizes, and the instructions that load, store and make them. */
import * as Op from "../../wasm/opcode.ts";
import { f32, f64, i32, i64, v128 } from "../../wasm/type.ts";

export type Types = readonly number[];

/** In bytes. A type that is not here is a reference, which no frame can keep. */
export const SIZE: Record<number, number> = { [i32]: 4, [i64]: 8, [f32]: 4, [f64]: 8, [v128]: 16 };

export const sizeOf = (types: Types): number => types.reduce((sum, type) => sum + SIZE[type]!, 0);

export const LOAD: Record<number, number[]> = {
  [i32]: [Op.i32Load],
  [i64]: [Op.i64Load],
  [f32]: [Op.f32Load],
  [f64]: [Op.f64Load],
  [v128]: [Op.simdPrefix, Op.v128Load],
};
export const STORE: Record<number, number[]> = {
  [i32]: [Op.i32Store],
  [i64]: [Op.i64Store],
  [f32]: [Op.f32Store],
  [f64]: [Op.f64Store],
  [v128]: [Op.simdPrefix, Op.v128Store],
};
export const ZERO: Record<number, number[]> = {
  [i32]: [Op.i32Const, 0],
  [i64]: [Op.i64Const, 0],
  [f32]: [Op.f32Const, 0, 0, 0, 0],
  [f64]: [Op.f64Const, 0, 0, 0, 0, 0, 0, 0, 0],
  [v128]: [Op.simdPrefix, Op.v128Const, ...Array<number>(16).fill(0)],
};

/** The type of the result of each core instruction that has one. */
export const CORE_RESULT = new Uint8Array(256);
for (const [first, last, type] of [
  [Op.i32Load, Op.i32Load, i32],
  [Op.i64Load, Op.i64Load, i64],
  [Op.f32Load, Op.f32Load, f32],
  [Op.f64Load, Op.f64Load, f64],
  [Op.i32Load8S, Op.i32Load16U, i32],
  [Op.i64Load8S, Op.i64Load32U, i64],
  [Op.memorySize, Op.i32Const, i32],
  [Op.i64Const, Op.i64Const, i64],
  [Op.f32Const, Op.f32Const, f32],
  [Op.f64Const, Op.f64Const, f64],
  [Op.i32Eqz, Op.i32Rotr, i32],
  [Op.i64Clz, Op.i64Rotr, i64],
  [Op.f32Abs, Op.f32Copysign, f32],
  [Op.f64Abs, Op.f64Copysign, f64],
  [Op.i32WrapI64, Op.i32TruncF64U, i32],
  [Op.i64ExtendI32S, Op.i64TruncF64U, i64],
  [Op.f32ConvertI32S, Op.f32DemoteF64, f32],
  [Op.f64ConvertI32S, Op.f64PromoteF32, f64],
  [Op.i32ReinterpretF32, Op.i32ReinterpretF32, i32],
  [Op.i64ReinterpretF64, Op.i64ReinterpretF64, i64],
  [Op.f32ReinterpretI32, Op.f32ReinterpretI32, f32],
  [Op.f64ReinterpretI64, Op.f64ReinterpretI64, f64],
  [Op.i32Extend8S, Op.i32Extend16S, i32],
  [Op.i64Extend8S, Op.i64Extend32S, i64],
] as const) {
  CORE_RESULT.fill(type, first, last + 1);
}

/** The type of the result of vector instructions where it is not a vector. */
export const SCALAR_RESULT: Record<number, number> = {
  [Op.i8x16ExtractLaneS]: i32,
  [Op.i8x16ExtractLaneU]: i32,
  [Op.i16x8ExtractLaneS]: i32,
  [Op.i16x8ExtractLaneU]: i32,
  [Op.i32x4ExtractLane]: i32,
  [Op.i64x2ExtractLane]: i64,
  [Op.f32x4ExtractLane]: f32,
  [Op.f64x2ExtractLane]: f64,
  [Op.v128AnyTrue]: i32,
  [Op.i8x16AllTrue]: i32,
  [Op.i8x16Bitmask]: i32,
  [Op.i16x8AllTrue]: i32,
  [Op.i16x8Bitmask]: i32,
  [Op.i32x4AllTrue]: i32,
  [Op.i32x4Bitmask]: i32,
  [Op.i64x2AllTrue]: i32,
  [Op.i64x2Bitmask]: i32,
};
