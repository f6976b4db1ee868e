import { joinBytes } from "../base/bytes.ts";

/** Makes the globals of a module visible from outside: WebAssembly binary format, §5.5.10 and §5.5.9. */

const HEADER_BYTES = 8;
const EXPORT_SECTION = 7;
const GLOBAL_SECTION = 6;
const GLOBAL_KIND = 3;

/** What the names of the added exports begin with; the index follows. No guest may export such a name. */
export const GLOBAL_PREFIX = "vak:global:";

interface Section {
  id: number;
  /** Where it begins, where its contents do, and where it ends. */
  at: number;
  contents: number;
  end: number;
}

/** The number that the LEB128 at `at` holds, and where it ends. The module is valid. */
function leb(bytes: Uint8Array, at: number): [value: number, end: number] {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[at++]!;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, at];
  }
}

function toLeb(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...toLeb(Math.floor(value / 128))];
}

function findSection(module: Uint8Array, id: number): Section | undefined {
  for (let at = HEADER_BYTES; at < module.length; ) {
    const [size, contents] = leb(module, at + 1);
    const end = contents + size;
    if (module[at] === id) return { id, at, contents, end };
    at = end;
  }
  return undefined;
}

/** How many globals a valid module defines. */
export function countGlobals(module: Uint8Array): number {
  const section = findSection(module, GLOBAL_SECTION);
  return section ? leb(module, section.contents)[0] : 0;
}

/** A valid module that imports no globals, with its first `count` globals exported besides. */
export function exportGlobals(module: Uint8Array<ArrayBuffer>, count: number): Uint8Array<ArrayBuffer> {
  const section = findSection(module, EXPORT_SECTION);
  if (!section || count === 0) return module;
  const [exports, first] = leb(module, section.contents);
  const added = Array.from({ length: count }, (_, i) => {
    const name = new TextEncoder().encode(`${GLOBAL_PREFIX}${i}`);
    return [name.length, ...name, GLOBAL_KIND, ...toLeb(i)];
  }).flat();
  const total = toLeb(exports + count);
  const size = toLeb(total.length + (section.end - first) + added.length);
  const parts = [
    module.subarray(0, section.at),
    Uint8Array.from([EXPORT_SECTION, ...size, ...total]),
    module.subarray(first, section.end),
    Uint8Array.from(added),
    module.subarray(section.end),
  ];
  return joinBytes(parts);
}
