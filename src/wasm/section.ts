/** Ids of sections (WebAssembly 3.0, section 5.5.2); used as `Section`, whose members minifiers put in place. */
export const custom = 0;
export const type = 1;
export const import_ = 2;
export const function_ = 3;
export const table = 4;
export const memory = 5;
export const global = 6;
export const export_ = 7;
export const start = 8;
export const element = 9;
export const code = 10;
export const data = 11;
export const dataCount = 12;
export const tag = 13;

export { export_ as export, function_ as function, import_ as import };

/** In the order a module must have them. */
export const ORDER: readonly number[] = [
  ...[type, import_, function_, table, memory, tag, global],
  ...[export_, start, element, dataCount, code, data],
];

export const NAMES =
  "custom type import function table memory global export start element code data dataCount tag".split(" ");
