import { wasi } from "@bjorn3/browser_wasi_shim";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { MAX_DEPTH, MAX_NAME } from "../../protocol/bounds.ts";
import type { FileStat, MountShape, SeedFile, TreeDetail, TreeEntry } from "../../protocol/messages.ts";
import { fail } from "../wasi/errno.ts";
import { DIRECTORY_RIGHTS, FILE_RIGHTS, LOOKUPFLAGS_SYMLINK_FOLLOW } from "../wasi/rights.ts";
import { Description, type Stat } from "./description.ts";

/** Symbolic links that are followed for one path, and steps that are taken: past either, ELOOP. */
const MAX_LINKS = 40;
const MAX_STEPS = 4096;
/** A name of so many UTF-16 units is never too long in UTF-8. */
const SHORT_NAME = MAX_NAME / 3;

const encoder = new TextEncoder();
const utf8Length = (text: string): number => encoder.encode(text).byteLength;
const has = (flags: number, flag: number): boolean => (flags & flag) !== 0;

/** A part of the tree that is kept elsewhere. No link leads into it or out of it, and nothing is moved across. */
interface Mount extends MountShape {
  usedBytes: number;
}

abstract class Node {
  /** This volume's own numbers, so that a guest sees the same ones in every run of the same history. */
  ino = 0n;
  /** Another number whenever the content is another one; guests do not see it. */
  revision = 0;
  /** What it is in; null for what is only the agent's. */
  mount: Mount | null = null;
  /** Nanoseconds since 1970 by the guest's clock. */
  accessed = 0n;
  modified = 0n;
  changed = 0n;
  nlink = 1n;

  abstract readonly filetype: number;
  protected abstract readonly bytes: number;
  abstract open(flags: number): Description;

  stat(): Stat {
    const { ino, filetype, nlink, bytes: size, accessed, modified, changed } = this;
    return { ino, filetype, nlink, size, accessed, modified, changed };
  }

  /** Sets what `flags` name, to what is given or to now. */
  setTimes(now: bigint, atim: bigint, mtim: bigint, flags: number): void {
    const both = (one: number, other: number) => has(flags, one) && has(flags, other);
    if (
      flags >>> 0 > 15 ||
      both(wasi.FSTFLAGS_ATIM, wasi.FSTFLAGS_ATIM_NOW) ||
      both(wasi.FSTFLAGS_MTIM, wasi.FSTFLAGS_MTIM_NOW)
    ) {
      fail(wasi.ERRNO_INVAL);
    }
    if (has(flags, wasi.FSTFLAGS_ATIM)) this.accessed = BigInt.asUintN(64, atim);
    if (has(flags, wasi.FSTFLAGS_ATIM_NOW)) this.accessed = now;
    if (has(flags, wasi.FSTFLAGS_MTIM)) this.modified = BigInt.asUintN(64, mtim);
    if (has(flags, wasi.FSTFLAGS_MTIM_NOW)) this.modified = now;
    this.changed = now;
  }
}

class File extends Node {
  readonly filetype = wasi.FILETYPE_REGULAR_FILE;
  size = 0;
  /** Descriptors that hold the file; its bytes count until the last one and the last name are gone. */
  opens = 0;
  private data = new Uint8Array(0);
  private digest: string | undefined;
  private readonly volume: Volume;

  constructor(volume: Volume) {
    super();
    this.volume = volume;
  }

  protected get bytes(): number {
    return this.size;
  }

  open(flags: number): Description {
    return new OpenFile(this.volume, this, flags);
  }

  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    return this.data.slice(offset, Math.min(offset + length, this.size));
  }

  write(offset: number, source: Uint8Array): void {
    if (source.byteLength === 0) return;
    if (offset + source.byteLength > this.size) this.resize(offset + source.byteLength);
    this.data.set(source, offset);
    this.touch();
  }

  /** @throws Errno ENOSPC where the volume's bytes would not hold it */
  resize(size: number): void {
    this.volume.charge(size - this.size, this.mount);
    if (size > this.data.byteLength) {
      const grown = new Uint8Array(Math.max(size, Math.min(this.data.byteLength * 2, this.data.byteLength + 2 ** 24)));
      grown.set(this.data.subarray(0, this.size));
      this.data = grown;
    } else {
      this.data.fill(0, size, this.size);
    }
    this.size = size;
    this.touch();
  }

  /** SHA-256 of the content, hex. */
  sha256(): string {
    this.digest ??= bytesToHex(sha256(this.data.subarray(0, this.size)));
    return this.digest;
  }

  /** Gives the bytes back once nothing can reach them. */
  releaseIfGone(): void {
    if (this.nlink === 0n && this.opens === 0) this.resize(0);
  }

  private touch(): void {
    this.digest = undefined;
    this.revision = this.volume.nextRevision();
    this.modified = this.changed = this.volume.now();
  }
}

class Directory extends Node {
  readonly filetype = wasi.FILETYPE_DIRECTORY;
  protected readonly bytes = 0;
  readonly entries = new Map<string, Node>();
  parent: Directory | null;
  depth: number;
  /** Nothing can be made in a directory that is gone. */
  removed = false;
  /** The kernel's own directory: its entries are fixed. */
  sealed = false;
  /** It is where a mount is, or above one: it stays where it is. */
  pinned = false;
  private readonly volume: Volume;

  constructor(volume: Volume, parent: Directory | null) {
    super();
    this.volume = volume;
    this.parent = parent;
    this.mount = parent?.mount ?? null;
    this.depth = parent ? parent.depth + 1 : 0;
  }

  open(): Description {
    return new OpenDirectory(this.volume, this);
  }

  /** Names in order of their UTF-16 units: listings are the same everywhere. */
  sorted(): [string, Node][] {
    return [...this.entries].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

/** A node whose descriptors are made by the kernel's side of the sandbox, such as `/dev/vak`. */
class Device extends Node {
  readonly filetype = wasi.FILETYPE_CHARACTER_DEVICE;
  protected readonly bytes = 0;
  private readonly make: () => Description;

  constructor(make: () => Description) {
    super();
    this.make = make;
  }

  open(): Description {
    return this.make();
  }
}

/** A symbolic link. Its target is relative: an absolute one would name nothing that a guest holds. */
class Symlink extends Node {
  readonly filetype = wasi.FILETYPE_SYMBOLIC_LINK;
  readonly target: string;

  constructor(target: string) {
    super();
    this.target = target;
  }

  get bytes(): number {
    return utf8Length(this.target);
  }

  open(): never {
    fail(wasi.ERRNO_LOOP);
  }
}

interface Place {
  parent: Directory;
  /** Null where the path ends in `.` or `..`, or is the directory that it starts from. */
  name: string | null;
  node: Node | undefined;
  /** The path ends in a slash: only a directory will do. */
  slash: boolean;
}

export interface VolumeState {
  root: Directory;
  usedBytes: number;
  names: number;
  nextIno: bigint;
  /** Its clock. */
  time: bigint;
}

/**
 * An agent's files, in memory. Counts what they hold against the limits; paths cannot leave the directory that they are
 * resolved from.
 */
export class Volume {
  root: Directory;
  private usedBytes = 0;
  private names = 0;
  private nextIno = 1n;
  private revisions = 0;
  /** Whether what is done now is the kernel's doing, which fills what is read-only for the guest. */
  private filling = false;
  private readonly maxBytes: number;
  private readonly maxNames: number;
  /** The time for stamps, ns since 1970; each run sets its own. */
  now: () => bigint = () => 0n;

  constructor(limits: { fileBytes: number; fileCount: number }, mounts: readonly MountShape[] = []) {
    this.maxBytes = limits.fileBytes;
    this.maxNames = limits.fileCount;
    this.root = this.number(new Directory(this, null));
    for (const mount of mounts) this.fill(() => this.mount(mount));
  }

  get fileBytes(): number {
    return this.usedBytes;
  }

  /** All that changes of it, live: a replay keeps a copy. */
  save(): VolumeState {
    const { root, usedBytes, names, nextIno } = this;
    return { root, usedBytes, names, nextIno, time: this.now() };
  }

  restore(state: VolumeState): void {
    ({ root: this.root, usedBytes: this.usedBytes, names: this.names, nextIno: this.nextIno } = state);
  }

  /** Puts `dev/NAME` beside the agent's files: the kernel's, not counted, listed or removable. */
  device(name: string, make: () => Description): void {
    let dev = this.root.entries.get("dev");
    if (!(dev instanceof Directory)) {
      dev = this.number(new Directory(this, this.root));
      (dev as Directory).sealed = true;
      this.root.entries.set("dev", dev);
    }
    (dev as Directory).entries.set(name, this.number(new Device(make)));
  }

  private mount(shape: MountShape): void {
    const { path } = shape;
    let at: Directory = this.root;
    if (path !== "") {
      this.above(path);
      this.mkdir(this.root, path);
      for (const name of path.split("/")) {
        const next = at.entries.get(name);
        if (!(next instanceof Directory)) fail(wasi.ERRNO_INVAL);
        at = next;
        at.pinned = true;
      }
    }
    at.mount = { ...shape, usedBytes: 0 };
  }

  private fill<T>(work: () => T): T {
    this.filling = true;
    try {
      return work();
    } finally {
      this.filling = false;
    }
  }

  /** @throws Errno EROFS where the guest may only read */
  guard(mount: Mount | null): void {
    if (mount?.readOnly && !this.filling) fail(wasi.ERRNO_ROFS);
  }

  nextRevision(): number {
    return ++this.revisions;
  }

  // For the host -----------------------------------------------------------------------------------------------------

  readFile(path: string): Uint8Array<ArrayBuffer> | null {
    const { node } = this.find(this.root, path, true);
    return node instanceof File ? node.read(0, node.size) : null;
  }

  /** Makes what the page gives an agent, and the directories above it; also where the guest may only read. */
  seed(path: string, file: SeedFile): void {
    this.fill(() => this.make(path, file));
  }

  private make(path: string, file: SeedFile): void {
    if (file instanceof Uint8Array) return this.writeFile(path, file);
    this.above(path);
    if (file.type === "symlink") this.symlink(file.target, this.root, path);
    else if (!(this.find(this.root, path).node instanceof Directory)) this.mkdir(this.root, path);
  }

  /** Writes a whole file, making the directories above it. */
  writeFile(path: string, bytes: Uint8Array): void {
    this.above(path);
    const file = this.openNode(this.root, path, true, wasi.OFLAGS_CREAT);
    if (!(file instanceof File)) fail(wasi.ERRNO_ISDIR);
    file.resize(bytes.byteLength);
    file.write(0, bytes);
  }

  private above(path: string): void {
    for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1)) {
      const directory = path.slice(0, at);
      if (!this.find(this.root, directory, true).node) this.mkdir(this.root, directory);
    }
  }

  remove(path: string): boolean {
    const { node } = this.find(this.root, path);
    if (!node) return false;
    this.fill(() => (node instanceof Directory ? this.rmdir(this.root, path) : this.unlink(this.root, path)));
    return true;
  }

  /**
   * What is below a directory, as far as it is in the same mount, by paths from there; null where there is none.
   *
   * @throws Errno ENOSPC where the names of a file would make more bytes of it than the limit
   */
  tree(path: string, detail: TreeDetail): TreeEntry[] | null {
    const base = path === "" ? this.root : this.find(this.root, path).node;
    if (!(base instanceof Directory)) return null;
    let bytes = 0;
    return [...this.walk(base, base.mount)].map(([path, node]) => {
      const entry: TreeEntry = { ...describe(path, node), revision: node.revision };
      if (!(node instanceof File)) return entry;
      if (detail === "digests") entry.digest = node.sha256();
      if (detail === "bytes") {
        bytes += node.size;
        if (bytes > this.maxBytes) fail(wasi.ERRNO_NOSPC);
        entry.bytes = node.read(0, node.size);
      }
      return entry;
    });
  }

  list(): FileStat[] {
    return [...this.walk()].map(([path, node]) => describe(path, node));
  }

  /** Of what the path names itself, a symbolic link too. */
  stat(path: string): FileStat | null {
    const { node } = this.find(this.root, path);
    return node ? describe(path, node) : null;
  }

  /**
   * SHA-256 over everything in order of path, hex: each directory as `d PATH NUL`, file as `f SIZE SHA256 PATH NUL`,
   * symbolic link as `l PATH NUL TARGET NUL`. Times are not part of it.
   */
  sha256(): string {
    const hash = sha256.create();
    for (const [path, node] of this.walk()) {
      const line =
        node instanceof File
          ? `f ${node.size} ${node.sha256()} ${path}\0`
          : node instanceof Symlink
            ? `l ${path}\0${node.target}\0`
            : `d ${path}\0`;
      hash.update(encoder.encode(line));
    }
    return bytesToHex(hash.digest());
  }

  /** @param within the mount that is not to be left, if any is */
  private *walk(base = this.root, within?: Mount | null): Generator<[string, Node]> {
    const waiting: [string, Node][] = [["", base]];
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const [path, node] = next;
      if (node instanceof Directory) {
        if (node.sealed || (within !== undefined && node.mount !== within)) continue;
        const below = node.sorted().map(([name, child]): [string, Node] => [path ? `${path}/${name}` : name, child]);
        waiting.push(...below.reverse());
      }
      if (node !== base) yield next;
    }
  }

  // For descriptors --------------------------------------------------------------------------------------------------

  /** @throws Errno ENOSPC past the limit, or the mount's quota; takes back when negative */
  charge(bytes: number, mount: Mount | null): void {
    const over = this.usedBytes + bytes > this.maxBytes || (mount && mount.usedBytes + bytes > mount.quotaBytes);
    if (bytes > 0 && over) fail(wasi.ERRNO_NOSPC);
    this.usedBytes += bytes;
    if (mount) mount.usedBytes += bytes;
  }

  /**
   * Finds what `path` names, or the place where it could be made. Symbolic links on the way are followed; one at the
   * end only if `follow` says so, or a slash comes after it.
   *
   * @throws Errno ENOTCAPABLE where the path or a link on it would leave `base`, or a link the mount that it is in
   */
  find(base: Directory, path: string, follow = false): Place {
    if (path === "") fail(wasi.ERRNO_NOENT);
    const slash = path.endsWith("/");
    /** What is still to be walked, the next part last. */
    const parts = split(path);
    /** Once a link was met: how many parts of the path come after what it leads to. */
    let after = -1;
    let links = 0;
    let steps = 0;
    let parent = base;
    let node: Node | undefined = base;
    let name: string | null = null;
    for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
      if (++steps > MAX_STEPS) fail(wasi.ERRNO_LOOP);
      if (parts.length < after) after = -1;
      if (node === undefined) fail(wasi.ERRNO_NOENT);
      if (!(node instanceof Directory)) fail(wasi.ERRNO_NOTDIR);
      if (part === "." || part === "..") {
        if (part === "..") {
          // Confined to the directory the path starts from, as a capability should be.
          if (node === base || node.parent === null) fail(wasi.ERRNO_NOTCAPABLE);
          if (after >= 0 && node.parent.mount !== node.mount) fail(wasi.ERRNO_NOTCAPABLE);
          node = node.parent;
        }
        parent = (node as Directory).parent ?? base;
        name = null;
        continue;
      }
      if (part.length > SHORT_NAME && utf8Length(part) > MAX_NAME) fail(wasi.ERRNO_NAMETOOLONG);
      parent = node;
      name = part;
      node = parent.entries.get(part);
      if (node instanceof Symlink && (parts.length > 0 || follow || slash)) {
        if (++links > MAX_LINKS) fail(wasi.ERRNO_LOOP);
        if (after < 0) after = parts.length;
        parts.push(...split(node.target));
        node = parent;
      } else if (after >= 0 && node && node.mount !== parent.mount) fail(wasi.ERRNO_NOTCAPABLE);
    }
    if (slash && node !== undefined && !(node instanceof Directory)) fail(wasi.ERRNO_NOTDIR);
    return { parent, name, node, slash };
  }

  existing(base: Directory, path: string, follow: boolean): Node {
    return this.find(base, path, follow).node ?? fail(wasi.ERRNO_NOENT);
  }

  /** @param write whether the guest is to write to it */
  openNode(base: Directory, path: string, follow: boolean, oflags: number, write = false): Node {
    const create = has(oflags, wasi.OFLAGS_CREAT);
    const exclusive = create && has(oflags, wasi.OFLAGS_EXCL);
    if (create && has(oflags, wasi.OFLAGS_DIRECTORY)) fail(wasi.ERRNO_INVAL);
    const place = this.find(base, path, follow && !exclusive);
    const { node } = place;
    if (!node) {
      if (!create) fail(wasi.ERRNO_NOENT);
      if (place.slash) fail(wasi.ERRNO_ISDIR);
      return this.add(place, new File(this));
    }
    if (exclusive) fail(wasi.ERRNO_EXIST);
    if (node instanceof Symlink) fail(wasi.ERRNO_LOOP);
    if (node instanceof Directory) {
      if (create || has(oflags, wasi.OFLAGS_TRUNC)) fail(wasi.ERRNO_ISDIR);
    } else if (has(oflags, wasi.OFLAGS_DIRECTORY)) fail(wasi.ERRNO_NOTDIR);
    if (!(node instanceof File)) return node;
    const truncate = has(oflags, wasi.OFLAGS_TRUNC);
    if (write || truncate) this.guard(node.mount);
    if (truncate) node.resize(0);
    return node;
  }

  mkdir(base: Directory, path: string): void {
    const place = this.findItself(base, path);
    if (place.node) fail(wasi.ERRNO_EXIST);
    this.add(place, new Directory(this, place.parent));
  }

  symlink(target: string, base: Directory, path: string): void {
    if (target === "") fail(wasi.ERRNO_NOENT);
    if (target.startsWith("/")) fail(wasi.ERRNO_NOTCAPABLE);
    const place = this.findItself(base, path);
    if (place.node) fail(wasi.ERRNO_EXIST);
    if (place.slash) fail(wasi.ERRNO_NOENT);
    const { mount } = place.parent;
    if (mount?.links === false) fail(wasi.ERRNO_PERM);
    const link = new Symlink(target);
    this.charge(link.bytes, mount);
    try {
      this.add(place, link);
    } catch (error) {
      this.charge(-link.bytes, mount);
      throw error;
    }
  }

  readlink(base: Directory, path: string): string {
    const { node } = this.find(base, path);
    if (!node) fail(wasi.ERRNO_NOENT);
    return node instanceof Symlink ? node.target : fail(wasi.ERRNO_INVAL);
  }

  /** As {@link find}, of the entry itself: a symbolic link is none that a slash could come after. */
  private findItself(base: Directory, path: string): Place {
    const bare = path.replace(/\/+$/, "");
    const place = this.find(base, bare === "" ? path : bare);
    const slash = bare !== path;
    if (slash && place.node && !(place.node instanceof Directory)) fail(wasi.ERRNO_NOTDIR);
    return { ...place, slash };
  }

  rmdir(base: Directory, path: string): void {
    const { parent, name, node } = this.findItself(base, path);
    if (!node) fail(wasi.ERRNO_NOENT);
    if (!(node instanceof Directory)) fail(wasi.ERRNO_NOTDIR);
    if (name === null) fail(wasi.ERRNO_INVAL);
    if (node.sealed) fail(wasi.ERRNO_ACCES);
    if (node.pinned) fail(wasi.ERRNO_BUSY);
    if (node.entries.size > 0) fail(wasi.ERRNO_NOTEMPTY);
    this.detach(parent, name, node);
  }

  unlink(base: Directory, path: string): void {
    const { parent, name, node } = this.findItself(base, path);
    if (!node) fail(wasi.ERRNO_NOENT);
    if (name === null || node instanceof Directory) fail(wasi.ERRNO_ISDIR);
    this.detach(parent, name, node);
  }

  link(from: Directory, path: string, to: Directory, target: string): void {
    const { node } = this.findItself(from, path);
    if (!node) fail(wasi.ERRNO_NOENT);
    if (!(node instanceof File || node instanceof Symlink)) fail(wasi.ERRNO_PERM);
    const place = this.findItself(to, target);
    if (place.node) fail(wasi.ERRNO_EXIST);
    if (place.slash) fail(wasi.ERRNO_NOENT);
    if (node.mount !== place.parent.mount) fail(wasi.ERRNO_XDEV);
    this.attachable(place);
    if (node.mount) fail(wasi.ERRNO_PERM);
    this.countOne();
    this.attach(place, node);
    node.nlink++;
    node.changed = this.now();
  }

  rename(from: Directory, path: string, to: Directory, target: string): void {
    const source = this.findItself(from, path);
    if (!source.node) fail(wasi.ERRNO_NOENT);
    if (source.name === null) fail(wasi.ERRNO_BUSY);
    const place = this.findItself(to, target);
    if (place.name === null) fail(wasi.ERRNO_BUSY);
    if (place.node === source.node) return;
    const moving = source.node;
    for (const it of [moving, place.node]) if (it instanceof Directory && it.pinned) fail(wasi.ERRNO_BUSY);
    if (moving.mount !== place.parent.mount) fail(wasi.ERRNO_XDEV);
    if (source.parent.sealed || (moving instanceof Directory && moving.sealed)) fail(wasi.ERRNO_ACCES);
    if (place.node instanceof Directory && place.node.sealed) fail(wasi.ERRNO_ACCES);
    if (moving instanceof Directory) {
      for (let above: Directory | null = place.parent; above; above = above.parent) {
        if (above === moving) fail(wasi.ERRNO_INVAL);
      }
      if (place.node && !(place.node instanceof Directory)) fail(wasi.ERRNO_NOTDIR);
      if (place.node instanceof Directory && place.node.entries.size > 0) fail(wasi.ERRNO_NOTEMPTY);
      if (place.parent.depth + height(moving) > MAX_DEPTH) fail(wasi.ERRNO_NAMETOOLONG);
    } else {
      if (place.node instanceof Directory) fail(wasi.ERRNO_ISDIR);
      if (place.slash) fail(wasi.ERRNO_NOTDIR);
    }
    this.attachable(place);
    if (place.node) this.detach(place.parent, place.name, place.node);
    source.parent.entries.delete(source.name);
    source.parent.modified = source.parent.changed = moving.changed = this.now();
    this.attach(place, moving);
    if (moving instanceof Directory) reparent(moving, place.parent);
  }

  private add<T extends Node>(place: Place, node: T): T {
    if (node instanceof Directory && node.depth > MAX_DEPTH) fail(wasi.ERRNO_NAMETOOLONG);
    this.attachable(place);
    this.countOne();
    node.mount = place.parent.mount;
    node.accessed = node.modified = node.changed = this.now();
    this.attach(place, this.number(node));
    return node;
  }

  /** Each name counts, so that links do too. */
  private countOne(): void {
    if (this.names + 1 > this.maxNames) fail(wasi.ERRNO_NOSPC);
    this.names++;
  }

  private attachable({ parent, name }: Place): void {
    if (name === null) fail(wasi.ERRNO_EXIST);
    if (parent.removed) fail(wasi.ERRNO_NOENT);
    if (parent.sealed) fail(wasi.ERRNO_ACCES);
    this.guard(parent.mount);
  }

  private attach(place: Place, node: Node): void {
    this.attachable(place);
    place.parent.entries.set(place.name!, node);
    place.parent.modified = place.parent.changed = this.now();
  }

  private detach(parent: Directory, name: string, node: Node): void {
    if (parent.sealed) fail(wasi.ERRNO_ACCES);
    this.guard(parent.mount);
    parent.entries.delete(name);
    parent.modified = parent.changed = this.now();
    node.nlink--;
    node.changed = this.now();
    this.names--;
    if (node instanceof Directory) node.removed = true;
    if (node instanceof File) node.releaseIfGone();
    if (node instanceof Symlink && node.nlink === 0n) this.charge(-node.bytes, node.mount);
  }

  /** Inode numbers are this volume's own, so that a guest sees the same ones in every run of the same history. */
  private number<T extends Node>(node: T): T {
    node.ino = this.nextIno++;
    node.revision = this.nextRevision();
    return node;
  }
}

function height(directory: Directory): number {
  let tallest = 0;
  for (const child of directory.entries.values()) {
    if (child instanceof Directory) tallest = Math.max(tallest, height(child));
  }
  return tallest + 1;
}

function reparent(directory: Directory, parent: Directory): void {
  directory.parent = parent;
  directory.depth = parent.depth + 1;
  for (const child of directory.entries.values()) if (child instanceof Directory) reparent(child, directory);
}

/** What a file offset may be: past it, EFBIG. */
const offset = (value: bigint): number => (value > 2n ** 53n - 1n ? fail(wasi.ERRNO_FBIG) : Number(value));

/** A path's parts, the first one last. What a trailing slash asks for is the caller's to say. */
function split(path: string): string[] {
  if (path.startsWith("/")) fail(wasi.ERRNO_NOTCAPABLE);
  return path
    .split("/")
    .filter((part) => part !== "")
    .reverse();
}

function describe(path: string, node: Node): FileStat {
  if (node instanceof Symlink) return { path, type: "symlink", size: node.bytes, target: node.target };
  return node instanceof File ? { path, type: "file", size: node.size } : { path, type: "directory", size: 0 };
}

class OpenFile extends Description {
  readonly filetype = wasi.FILETYPE_REGULAR_FILE;
  readonly rights = FILE_RIGHTS;
  private position = 0;
  private readonly volume: Volume;
  private readonly file: File;

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
export interface Entry {
  /** The cookie of the entry after it. */
  next: bigint;
  ino: bigint;
  filetype: number;
  name: Uint8Array;
}

/** An open directory: the capability from which paths are resolved. */
export class OpenDirectory extends Description {
  readonly filetype = wasi.FILETYPE_DIRECTORY;
  readonly rights = DIRECTORY_RIGHTS;
  override readonly inheriting = DIRECTORY_RIGHTS | FILE_RIGHTS;
  /** The listing as it was when it was begun, so that cookies hold while entries come and go. */
  private listing: [string, Node][] = [];
  private readonly volume: Volume;
  private readonly directory: Directory;

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

  /** The entry that a cookie stands for, if there is one. */
  entry(cookie: bigint): Entry | undefined {
    if (cookie === 0n || this.listing.length === 0) {
      const { directory } = this;
      const up = directory === this.volume.root ? directory : (directory.parent ?? directory);
      this.listing = [[".", directory], ["..", up], ...directory.sorted()];
    }
    const found = cookie < BigInt(this.listing.length) ? this.listing[Number(cookie)] : undefined;
    if (!found) return undefined;
    const [name, node] = found;
    return { next: cookie + 1n, ino: node.ino, filetype: node.filetype, name: encoder.encode(name) };
  }

  openAt(lookup: number, path: string, oflags: number, flags: number, write = false): Description {
    return this.volume.openNode(this.directory, path, follows(lookup), oflags, write).open(flags);
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
    return encoder.encode(this.volume.readlink(this.directory, path));
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

/** The one directory that a guest is given to begin with. */
export class RootDirectory extends OpenDirectory {
  readonly name = encoder.encode("/");

  constructor(volume: Volume) {
    super(volume, volume.root);
  }
}
