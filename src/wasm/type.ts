/** Value types that the meter writes (WebAssembly 3.0, section 5.3); used as `Type`, as the members of `op.ts` are. */
export const i32 = 0x7f;
export const i64 = 0x7e;
export const f32 = 0x7d;
export const f64 = 0x7c;
export const v128 = 0x7b;
export const funcref = 0x70;
