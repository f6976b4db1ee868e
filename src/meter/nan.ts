/**
 * How instructions treat NaN (WebAssembly 3.0, section 4.3.3): which may make one whose bits the engine chooses, and
 * which take operands whose NaN bits cannot show in what they do. The sign and payload of any other NaN are determined.
 *
 * Absorbing are comparisons, arithmetic, truncations to integers, promotion and demotion; not `abs`, `neg` and
 * `copysign`, which are bit operations, nor `pmin` and `pmax`, which are selections.
 */
import * as Op from "../wasm/opcode.ts";
import { mark, opcodes } from "./mark.ts";

/** Floating-point types; as a set, `1 << type`. */
export const F32 = 0;
export const F64 = 1;
export const F32X4 = 2;
export const F64X2 = 3;

interface NanTreatment {
  /** 1 + the floating-point type of a result whose NaN bits the engine may choose; 0 for none. */
  makes: Uint8Array;
  /** The floating-point types of operands whose NaN bits cannot show in what the instruction does. */
  absorbs: Uint8Array;
}

const treatment = (): NanTreatment => ({ makes: opcodes(), absorbs: opcodes() });

export const CORE_NAN = treatment();
mark(CORE_NAN.absorbs, (1 << F32) | (1 << F64) | (1 << F32X4) | (1 << F64X2), Op.drop, Op.drop);
mark(CORE_NAN.absorbs, 1 << F32, Op.f32Eq, Op.f32Ge, Op.f32Ceil, Op.f32Max);
mark(CORE_NAN.absorbs, 1 << F32, Op.i32TruncF32S, Op.i32TruncF32U, Op.i64TruncF32S, Op.i64TruncF32U);
mark(CORE_NAN.absorbs, 1 << F32, Op.f64PromoteF32, Op.f64PromoteF32);
mark(CORE_NAN.absorbs, 1 << F64, Op.f64Eq, Op.f64Ge, Op.f64Ceil, Op.f64Max);
mark(CORE_NAN.absorbs, 1 << F64, Op.i32TruncF64S, Op.i32TruncF64U, Op.i64TruncF64S, Op.i64TruncF64U);
mark(CORE_NAN.absorbs, 1 << F64, Op.f32DemoteF64, Op.f32DemoteF64);
mark(CORE_NAN.makes, 1 + F32, Op.f32Ceil, Op.f32Max, Op.f32DemoteF64, Op.f32DemoteF64);
mark(CORE_NAN.makes, 1 + F64, Op.f64Ceil, Op.f64Max, Op.f64PromoteF32, Op.f64PromoteF32);

/** None of these has a floating-point operand or result. */
export const GC_NAN = treatment();

export const MISC_NAN = treatment();
mark(MISC_NAN.absorbs, 1 << F32, Op.i32TruncSatF32S, Op.i32TruncSatF32U, Op.i64TruncSatF32S, Op.i64TruncSatF32U);
mark(MISC_NAN.absorbs, 1 << F64, Op.i32TruncSatF64S, Op.i32TruncSatF64U, Op.i64TruncSatF64S, Op.i64TruncSatF64U);

export const SIMD_NAN = treatment();
mark(SIMD_NAN.absorbs, 1 << F32X4, Op.f32x4Eq, Op.f32x4Ge, Op.f64x2PromoteLowF32x4, Op.f64x2PromoteLowF32x4);
mark(SIMD_NAN.absorbs, 1 << F32X4, Op.f32x4Ceil, Op.f32x4Nearest, Op.f32x4Sqrt, Op.f32x4Max);
mark(SIMD_NAN.absorbs, 1 << F32X4, Op.i32x4TruncSatF32x4S, Op.i32x4TruncSatF32x4U);
mark(SIMD_NAN.absorbs, 1 << F64X2, Op.f64x2Eq, Op.f64x2Ge, Op.f32x4DemoteF64x2Zero, Op.f32x4DemoteF64x2Zero);
mark(SIMD_NAN.absorbs, 1 << F64X2, Op.f64x2Ceil, Op.f64x2Floor, Op.f64x2Trunc, Op.f64x2Trunc);
mark(SIMD_NAN.absorbs, 1 << F64X2, Op.f64x2Nearest, Op.f64x2Nearest, Op.f64x2Sqrt, Op.f64x2Max);
mark(SIMD_NAN.absorbs, 1 << F64X2, Op.i32x4TruncSatF64x2SZero, Op.i32x4TruncSatF64x2UZero);
mark(SIMD_NAN.makes, 1 + F32X4, Op.f32x4DemoteF64x2Zero, Op.f32x4DemoteF64x2Zero);
mark(SIMD_NAN.makes, 1 + F32X4, Op.f32x4Ceil, Op.f32x4Nearest, Op.f32x4Sqrt, Op.f32x4Max);
mark(SIMD_NAN.makes, 1 + F64X2, Op.f64x2PromoteLowF32x4, Op.f64x2PromoteLowF32x4, Op.f64x2Ceil, Op.f64x2Floor);
mark(SIMD_NAN.makes, 1 + F64X2, Op.f64x2Trunc, Op.f64x2Trunc, Op.f64x2Nearest, Op.f64x2Nearest);
mark(SIMD_NAN.makes, 1 + F64X2, Op.f64x2Sqrt, Op.f64x2Max);
