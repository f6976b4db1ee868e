/** Open file descriptions of a volume's files and directories. */
import { wasi } from "@bjorn3/browser_wasi_shim";
import { toUtf8 } from "../../base/utf8.ts";
import { fail } from "../preview1/errno.ts";
import { has, LOOKUPFLAGS_SYMLINK_FOLLOW } from "../preview1/flags.ts";
import { DIRECTORY_RIGHTS, FILE_RIGHTS } from "../preview1/rights.ts";
import { Description, type Stat } from "./description.ts";
import { type Device, Directory, File, type Node, Symlink } from "./nodes.ts";
import type { Volume } from "./volume.ts";

function open(volume: Volume, node: Node, flags: number): Description {
  if (node instanceof File) return new OpenFile(volume, node, flags);
  if (node instanceof Directory) return new OpenDirectory(volume, node);
  return node instanceof Symlink ? fail(wasi.ERRNO_LOOP) : (node as Device).make();
}

/** A file offset as a number; EFBIG past 2^53 − 1. */
const offset = (value: bigint): number => (value > 2n ** 53n - 1n ? fail(wasi.ERRNO_FBIG) : Number(value));

class OpenFile extends Description {
  readonly filetype = wasi.FILETYPE_REGULAR_FILE;
  readonly rights = FILE_RIGHTS;
  position = 0;
  readonly volume: Volume;
  readonly file: File;

  constructor(volume: Volume, file: File, flags: number) {
    super();
    this.volume = volume;
    this.file = file;
    this.flags = flags;
    file.opens++;
  }

  override get readable(): number {
    return Math.max(0, this.file.size - this.position);
  }

  override stat(): Stat {
    return this.file.stat();
  }

  override setTimes(atim: bigint, mtim: bigint, flags: number): void {
    this.volume.guard(this.file.mount);
    this.file.setTimes(this.volume.now(), atim, mtim, flags);
  }

  override close(): void {
    this.file.opens--;
    this.file.releaseIfGone();
  }

  override resize(size: bigint): void {
    this.volume.guard(this.file.mount);
    this.file.resize(offset(BigInt.asUintN(64, size)));
  }

  override allocate(start: bigint, length: bigint): void {
    if (length === 0n) fail(wasi.ERRNO_INVAL);
    this.volume.guard(this.file.mount);
    const end = offset(BigInt.asUintN(64, start) + BigInt.asUintN(64, length));
    if (end > this.file.size) this.file.resize(end);
  }

  override read(size: number): Uint8Array {
    const data = this.file.read(this.position, size);
    this.position += data.byteLength;
    return data;
  }

  override pread(size: number, at: bigint): Uint8Array {
    return this.file.read(offset(BigInt.asUintN(64, at)), size);
  }

  override write(data: Uint8Array): number {
    this.volume.guard(this.file.mount);
    const at = has(this.flags, wasi.FDFLAGS_APPEND) ? this.file.size : this.position;
    this.file.write(at, data);
    this.position = at + data.byteLength;
    return data.byteLength;
  }

  override pwrite(data: Uint8Array, at: bigint): number {
    this.volume.guard(this.file.mount);
    this.file.write(offset(BigInt.asUintN(64, at)), data);
    return data.byteLength;
  }

  override seek(by: bigint, whence: number): bigint {
    const from = [0, this.position, this.file.size][whence] ?? fail(wasi.ERRNO_INVAL);
    const target = BigInt(from) + by;
    if (target < 0n) fail(wasi.ERRNO_INVAL);
    this.position = offset(target);
    return target;
  }
}

const follows = (lookup: number): boolean => has(lookup, LOOKUPFLAGS_SYMLINK_FOLLOW);

/** An entry of a listing. */
export interface DirectoryEntry {
  /** The cookie of the next entry. */
  next: bigint;
  ino: bigint;
  filetype: number;
  name: Uint8Array;
}

/** An open directory: the capability from which a guest's paths are resolved. */
export class OpenDirectory extends Description {
  readonly filetype = wasi.FILETYPE_DIRECTORY;
  readonly rights = DIRECTORY_RIGHTS;
  override readonly inheriting = DIRECTORY_RIGHTS | FILE_RIGHTS;
  /** The listing as of its beginning, so that cookies stay valid while entries come and go. */
  listing: [string, Node][] = [];
  readonly volume: Volume;
  readonly directory: Directory;

  constructor(volume: Volume, directory: Directory) {
    super();
    this.volume = volume;
    this.directory = directory;
  }

  override stat(): Stat {
    return this.directory.stat();
  }

  override setTimes(atim: bigint, mtim: bigint, flags: number): void {
    this.volume.guard(this.directory.mount);
    this.directory.setTimes(this.volume.now(), atim, mtim, flags);
  }

  override read(): never {
    fail(wasi.ERRNO_ISDIR);
  }

  override pread(): never {
    fail(wasi.ERRNO_ISDIR);
  }

  /** The entry at a cookie, if there is one. */
  entry(cookie: bigint): DirectoryEntry | undefined {
    if (cookie === 0n || this.listing.length === 0) {
      const { directory } = this;
      const up = directory === this.volume.root ? directory : (directory.parent ?? directory);
      this.listing = [[".", directory], ["..", up], ...directory.sorted()];
    }
    const found = cookie < BigInt(this.listing.length) ? this.listing[Number(cookie)] : undefined;
    if (!found) return undefined;
    const [name, node] = found;
    return { next: cookie + 1n, ino: node.ino, filetype: node.filetype, name: toUtf8(name) };
  }

  openAt(lookup: number, path: string, oflags: number, flags: number, write = false): Description {
    return open(this.volume, this.volume.openNode(this.directory, path, follows(lookup), oflags, write), flags);
  }

  statAt(lookup: number, path: string): Stat {
    return this.volume.existing(this.directory, path, follows(lookup)).stat();
  }

  setTimesAt(lookup: number, path: string, atim: bigint, mtim: bigint, flags: number): void {
    const node = this.volume.existing(this.directory, path, follows(lookup));
    this.volume.guard(node.mount);
    node.setTimes(this.volume.now(), atim, mtim, flags);
  }

  mkdir(path: string): void {
    this.volume.mkdir(this.directory, path);
  }

  rmdir(path: string): void {
    this.volume.rmdir(this.directory, path);
  }

  unlink(path: string): void {
    this.volume.unlink(this.directory, path);
  }

  readlink(path: string): Uint8Array {
    return toUtf8(this.volume.readlink(this.directory, path));
  }

  symlink(target: string, path: string): void {
    this.volume.symlink(target, this.directory, path);
  }

  link(path: string, to: OpenDirectory, target: string): void {
    this.volume.link(this.directory, path, to.directory, target);
  }

  rename(path: string, to: OpenDirectory, target: string): void {
    this.volume.rename(this.directory, path, to.directory, target);
  }
}

/** The one directory that a guest begins with. */
export class RootDirectory extends OpenDirectory {
  readonly name = toUtf8("/");

  constructor(volume: Volume) {
    super(volume, volume.root);
  }
}
