/**
 * What `scan.ts` finds for `emit.ts` to act on. Import it as `Event`. An event acts before its position `start`; some
 * also have an `end`. What `a` and `b` mean is said at each.
 */

/** No longer needed. */
export const none = 0;
/** Charges slot `a`. */
export const charge = 1;
/** A loop's header, with its block type; slot `a`; `b` is a set of the flags below; `c` as in `savedLocals`. */
export const loop = 2;
/** A call, from opcode to end; slot `a` runs after it. */
export const call = 3;
/** A tail call leaves the frame for good. */
export const tailCall = 4;
/** Control leaves by an exception or a trap. */
export const leave = 5;
/** A return, from opcode to end; a branch to the outermost label would be one to `a`, in loop `b` (an event, or -1). */
export const return_ = 6;
/** A value of floating-point type `a` whose NaN bits may show. */
export const nan = 7;
/** A bulk instruction with its length on top of the stack, an i64 if `a`. */
export const bulk = 8;
/** An exception has been caught. */
export const caught = 9;
/** The end of the loop whose event is `a`. */
export const loopEnd = 10;
/** A label `a` that is outside loop `b`. */
export const label = 11;
/** The labels of a br_table; those greater than `a` are outside loop `b`. */
export const labels = 12;
export { return_ as return };

// Flags of loops.

/** Nothing inside calls. */
export const CALL_FREE = 1;
/** No loop inside either, and no parameters. */
export const PLAIN = 2;
/** An exception may be caught at its header. */
export const CAUGHT_AT_HEADER = 4;
/** Bits by which the number of levels of loops inside is shifted. */
export const LEVELS = 3;
