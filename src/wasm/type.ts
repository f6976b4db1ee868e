/**
 * Codes of types (WebAssembly 3.0, section 5.3). Import it as `Type`: minifiers put its members in place.
 */

// Number and vector types.
export const i32 = 0x7f;
export const i64 = 0x7e;
export const f32 = 0x7d;
export const f64 = 0x7c;
export const v128 = 0x7b;

// Packed types of fields.
export const i8 = 0x78;
export const i16 = 0x77;

// References: `funcref`, the lowest abstract heap type, and what precedes a heap type.
export const funcref = 0x70;
export const exn = 0x69;
export const refNull = 0x63;
export const ref = 0x64;

/** The empty block type. */
export const empty = 0x40;

// Forms of defined types.
export const func = 0x60;
export const struct = 0x5f;
export const array = 0x5e;
export const sub = 0x50;
export const subFinal = 0x4f;
export const rec = 0x4e;
/** Of the threads proposal. */
export const shared = 0x65;
