/**
 * Sections of a module (WebAssembly 3.0, section 5.5.2): their ids, their order, and where they are. Import it as
 * `Section`: minifiers put its members in place.
 */
import { malformed, unknown, wrongLength } from "./malformed.ts";
import { PREAMBLE } from "./preamble.ts";
import { Reader } from "./reader.ts";

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

const NAMES = "custom type import function table memory global export start element code data dataCount tag".split(" ");

export interface SectionRange {
  id: number;
  /** The first byte of the contents, and the first after them. */
  start: number;
  end: number;
  /** Where the section's id is. */
  header: number;
  /** A custom section's name. */
  name?: string;
}

/** @throws VakError `invalid-module` where a section is not known, out of order, or longer than the module */
export function readSections(bytes: Uint8Array): SectionRange[] {
  const reader = new Reader(bytes, PREAMBLE.length, bytes.length);
  const sections: SectionRange[] = [];
  let rank = -1;
  while (!reader.done) {
    const header = reader.pos;
    const id = reader.byte();
    const size = reader.u32();
    const start = reader.pos;
    if (size > reader.end - start) wrongLength(header);
    const section: SectionRange = { id, start, end: start + size, header };
    if (id === custom) {
      section.name = new Reader(bytes, start, section.end).name();
    } else {
      const own = ORDER.indexOf(id);
      if (own < 0) unknown("section", id, header);
      if (own <= rank) malformed(`the ${NAMES[id]} section is repeated or out of order`, header);
      rank = own;
    }
    sections.push(section);
    reader.pos = section.end;
  }
  return sections;
}
