/**
 * Reads zips (PKWARE APPNOTE) file by file, without holding the whole of a large one. A zip may come from anyone, so
 * whatever two readers could read differently (duplicate names, overlapping files, a local header that differs) is
 * refused.
 */
import { inflateSync } from "fflate";
import { VakError } from "../errors.ts";
import { type Bundle, isBundlePath } from "./bundle.ts";

/** Bytes to read from: a file, a `Blob`, memory. */
export interface ByteSource {
  /** Bytes in it. */
  readonly size: number;
  /** The bytes from `start` up to, not including, `end`. */
  read(start: number, end: number): Promise<Uint8Array>;
}

/** How many bytes all files of a zip may unpack to. */
const MAX_TOTAL_BYTES = 16 * 2 ** 30;
const MAX_DIRECTORY_BYTES = 64 * 2 ** 20;
/** Up to this many bytes, a blob is read at once: reading a slice takes a browser about a millisecond. */
const AT_ONCE_BYTES = 2 ** 20;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 65_535;
const LOCAL_BYTES = 30;
const CENTRAL_BYTES = 46;
const STORED = 0;
const DEFLATED = 8;
const ENCRYPTED = 1;

interface ZipFile {
  path: string;
  method: number;
  /** Where its local header begins. */
  offset: number;
  packedBytes: number;
  bytes: number;
}

const bad = (message: string): VakError => new VakError("invalid-bundle", message);

/**
 * Opens a bundle that was exported as a zip. A blob of at most 1 MiB is read at once; of anything else, only the zip's
 * directory is read immediately.
 *
 * @throws VakError `invalid-bundle` when it is not a zip, or a hostile one; `unsupported` for Zip64
 * @example const bundle = await openBundle(await log.export());
 */
export async function openBundle(zip: Blob | ArrayBuffer | Uint8Array | ByteSource): Promise<Bundle> {
  const source = byteSource(zip);
  const files = await readDirectory(source);
  return {
    paths: async () => files.keys(),
    async read(path, maxBytes) {
      const file = files.get(path);
      return file && readFile(source, file, maxBytes);
    },
  };
}

function byteSource(zip: Blob | ArrayBuffer | Uint8Array | ByteSource): ByteSource {
  if (zip instanceof Blob) {
    let whole: Promise<ArrayBuffer> | undefined;
    return {
      size: zip.size,
      async read(start, end) {
        if (zip.size > AT_ONCE_BYTES) return new Uint8Array(await zip.slice(start, end).arrayBuffer());
        whole ??= zip.arrayBuffer();
        return new Uint8Array((await whole).slice(start, end));
      },
    };
  }
  if (zip instanceof ArrayBuffer) return byteSource(new Uint8Array(zip));
  if (zip instanceof Uint8Array) return { size: zip.length, read: async (start, end) => zip.subarray(start, end) };
  return zip;
}

async function readDirectory(source: ByteSource): Promise<Map<string, ZipFile>> {
  const tailStart = Math.max(0, source.size - END_BYTES - MAX_COMMENT_BYTES);
  const tail = view(await source.read(tailStart, source.size));
  let at = tail.byteLength - END_BYTES;
  while (
    at >= 0 &&
    !(tail.getUint32(at, true) === 0x06054b50 && at + END_BYTES + tail.getUint16(at + 20, true) === tail.byteLength)
  )
    at--;
  if (at < 0) throw bad("It is not a zip file, or it was cut short.");
  const count = tail.getUint16(at + 10, true);
  const size = tail.getUint32(at + 12, true);
  const start = tail.getUint32(at + 16, true);
  if (count === 0xffff || size === 0xffffffff || start === 0xffffffff)
    throw new VakError("unsupported", "Zip64 is not supported: export the log in increments.");
  if (tail.getUint16(at + 4, true) !== 0 || tail.getUint16(at + 8, true) !== count)
    throw bad("The zip is one part of several.");
  if (size > MAX_DIRECTORY_BYTES || start + size > tailStart + at) throw bad("The zip's directory does not fit in it.");

  const directory = await source.read(start, start + size);
  const data = view(directory);
  const files = new Map<string, ZipFile>();
  let total = 0;
  let pos = 0;
  for (let i = 0; i < count; i++) {
    if (pos + CENTRAL_BYTES > size || data.getUint32(pos, true) !== 0x02014b50)
      throw bad("The zip's directory is malformed.");
    const nameEnd = pos + CENTRAL_BYTES + data.getUint16(pos + 28, true);
    const end = nameEnd + data.getUint16(pos + 30, true) + data.getUint16(pos + 32, true);
    if (end > size) throw bad("The zip's directory is malformed.");
    const path = latin1(directory.subarray(pos + CENTRAL_BYTES, nameEnd));
    const file: ZipFile = {
      path,
      method: data.getUint16(pos + 10, true),
      offset: data.getUint32(pos + 42, true),
      packedBytes: data.getUint32(pos + 20, true),
      bytes: data.getUint32(pos + 24, true),
    };
    if ((data.getUint16(pos + 8, true) & ENCRYPTED) !== 0) throw bad(`${show(path)} is encrypted.`);
    pos = end;
    // A directory, which other zip tools list.
    if (path.endsWith("/") && file.bytes === 0 && isBundlePath(path.slice(0, -1))) continue;
    if (!isBundlePath(path)) throw bad(`${show(path)} is not a path that a bundle may hold.`);
    if (files.has(path)) throw bad(`The zip holds ${path} twice.`);
    if (file.method !== STORED && file.method !== DEFLATED) throw bad(`${path} is packed with an unknown method.`);
    if (file.method === STORED && file.bytes !== file.packedBytes) throw bad(`${path} has two sizes.`);
    total += file.bytes;
    if (total > MAX_TOTAL_BYTES) throw bad(`The zip would unpack to more than ${MAX_TOTAL_BYTES} bytes.`);
    files.set(path, file);
  }
  if (pos !== size) throw bad("The zip's directory is malformed.");
  let free = 0;
  for (const file of [...files.values()].sort((a, b) => a.offset - b.offset)) {
    if (file.offset < free) throw bad(`${file.path} overlaps another file in the zip.`);
    free = file.offset + LOCAL_BYTES + file.path.length + file.packedBytes;
    if (free > start) throw bad(`${file.path} does not fit in the zip.`);
  }
  return files;
}

async function readFile(source: ByteSource, file: ZipFile, maxBytes: number): Promise<Uint8Array> {
  if (file.bytes > maxBytes) throw bad(`${file.path} has ${file.bytes} bytes; at most ${maxBytes} are read.`);
  const header = await source.read(file.offset, file.offset + LOCAL_BYTES + file.path.length);
  const local = view(header);
  const nameBytes = local.getUint16(26, true);
  const same =
    local.getUint32(0, true) === 0x04034b50 &&
    local.getUint16(8, true) === file.method &&
    nameBytes === file.path.length &&
    latin1(header.subarray(LOCAL_BYTES)) === file.path;
  if (!same) throw bad(`${file.path} has another name or method in its own header in the zip.`);
  const start = file.offset + header.length + local.getUint16(28, true);
  if (start + file.packedBytes > source.size) throw bad(`${file.path} does not fit in the zip.`);
  const packed = await source.read(start, start + file.packedBytes);
  if (file.method === STORED) return packed;
  let bytes: Uint8Array | undefined;
  try {
    // One byte more than promised, so that too many bytes are noticed as well as too few.
    bytes = inflateSync(packed, { out: new Uint8Array(file.bytes + 1) });
  } catch {}
  if (bytes?.length !== file.bytes) throw bad(`${file.path} does not unpack to its ${file.bytes} bytes.`);
  return bytes;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** One character per byte. Only ASCII names pass {@link isBundlePath}, so nothing else needs decoding. */
function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, 1000));
}

function show(path: string): string {
  return JSON.stringify(path.slice(0, 80));
}
