/** Reads value types and heap types (WebAssembly 3.0, sections 5.3.3 to 5.3.5), and moves past them. */
import { unknown } from "./malformed.ts";
import { Reader } from "./reader.ts";
import * as Type from "./type.ts";

/** From `v128` on. */
const NUMBER_TYPES = "v128 f64 f32 i64 i32".split(" ");

/** Abstract heap types from `exn` on; as a value type each is short for its nullable reference. */
const HEAP_TYPES = "exn array struct i31 eq any extern func none noextern nofunc noexn".split(" ");

/** @returns the name of an abstract heap type, or a type's index */
export function readHeapType(reader: Reader): string {
  const at = reader.pos;
  const type = reader.signed(33);
  if (type >= 0) return String(type);
  return HEAP_TYPES[type + 0x80 - Type.exn] ?? unknown("heap type", type + 0x80, at);
}

/** @returns the type as the text format writes it */
export function readValueType(reader: Reader): string {
  const at = reader.pos;
  const byte = reader.byte();
  if (byte === Type.refNull) return `(ref null ${readHeapType(reader)})`;
  if (byte === Type.ref) return `(ref ${readHeapType(reader)})`;
  const number = NUMBER_TYPES[byte - Type.v128];
  if (number) return number;
  const heap = HEAP_TYPES[byte - Type.exn] ?? unknown("value type", byte, at);
  return heap === "func" || heap === "extern" ? `${heap}ref` : `(ref null ${heap})`;
}

/** Moves past a value type. @returns whether it is v128 */
export function skipValueType(reader: Reader): boolean {
  const byte = reader.peek();
  if (byte >= Type.v128 && byte <= Type.i32) {
    reader.pos++;
    return byte === Type.v128;
  }
  readValueType(reader);
  return false;
}

/** Moves past a vector of value types. @returns how many there are, and how many of them are v128 */
export function skipValueTypes(reader: Reader): [count: number, vectors: number] {
  const count = reader.count();
  let vectors = 0;
  for (let n = count; n > 0; n--) if (skipValueType(reader)) vectors++;
  return [count, vectors];
}

/** The value types of a vector that begins at `at`. */
export function valueTypesAt(bytes: Uint8Array, at: number): string[] {
  const reader = new Reader(bytes, at, bytes.length);
  return Array.from({ length: reader.count() }, () => readValueType(reader));
}
