/** An agent's files: what its program and the page can do with them, within the limits. */
import { wasi } from "@bjorn3/browser_wasi_shim";
import { MAX_DEPTH } from "../../protocol/bounds.ts";
import type { FileStat, MountShape, SeedFile, TreeDetail, TreeEntry } from "../../protocol/messages.ts";
import { fail } from "../preview1/errno.ts";
import { has } from "../preview1/flags.ts";
import type { Description } from "./description.ts";
import { type Accounts, Device, Directory, File, type Mount, type Node, Symlink } from "./nodes.ts";
import { type ResolvedPath, resolve, resolveItself } from "./resolve.ts";
import { describe, treeDigest, walk } from "./tree.ts";

/** What changes of a volume. */
export interface VolumeState {
  root: Directory;
  usedBytes: number;
  names: number;
  nextIno: bigint;
  /** Its clock, ns since 1970. */
  time: bigint;
}

/**
 * An agent's files, in memory. Their bytes and names count against the limits; a path cannot leave the directory from
 * which it is resolved.
 */
export class Volume implements Accounts {
  root: Directory;
  #usedBytes = 0;
  #names = 0;
  #nextIno = 1n;
  #revisions = 0;
  /** Set while the kernel writes: it may also write to read-only mounts. */
  #filling = false;
  readonly #maxBytes: number;
  readonly #maxNames: number;
  /** The time for stamps, ns since 1970; each run sets its own. */
  now: () => bigint = () => 0n;

  constructor(limits: { fileBytes: number; fileCount: number }, mounts: readonly MountShape[] = []) {
    this.#maxBytes = limits.fileBytes;
    this.#maxNames = limits.fileCount;
    this.root = this.#number(new Directory(null));
    for (const mount of mounts) this.#fill(() => this.#mount(mount));
  }

  get fileBytes(): number {
    return this.#usedBytes;
  }

  /** The live state; a replay copies it. */
  save(): VolumeState {
    return {
      root: this.root,
      usedBytes: this.#usedBytes,
      names: this.#names,
      nextIno: this.#nextIno,
      time: this.now(),
    };
  }

  restore(state: VolumeState): void {
    ({ root: this.root, usedBytes: this.#usedBytes, names: this.#names, nextIno: this.#nextIno } = state);
  }

  /** Puts `dev/NAME` beside the agent's files. It belongs to the kernel, and is not counted, listed or removable. */
  device(name: string, make: () => Description): void {
    let dev = this.root.entries.get("dev");
    if (!(dev instanceof Directory)) {
      dev = this.#number(new Directory(this.root));
      (dev as Directory).sealed = true;
      this.root.entries.set("dev", dev);
    }
    (dev as Directory).entries.set(name, this.#number(new Device(make)));
  }

  #mount(shape: MountShape): void {
    const { path } = shape;
    let at: Directory = this.root;
    if (path !== "") {
      this.#above(path);
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

  #fill<T>(work: () => T): T {
    this.#filling = true;
    try {
      return work();
    } finally {
      this.#filling = false;
    }
  }

  /** @throws Errno EROFS if the guest may only read there */
  guard(mount: Mount | null): void {
    if (mount?.readOnly && !this.#filling) fail(wasi.ERRNO_ROFS);
  }

  nextRevision(): number {
    return ++this.#revisions;
  }

  // For the kernel ---------------------------------------------------------------------------------------------------

  readFile(path: string): Uint8Array<ArrayBuffer> | null {
    const { node } = resolve(this.root, path, true);
    return node instanceof File ? node.read(0, node.size) : null;
  }

  /** Creates what the page gives an agent, and the directories above it, even where the guest may only read. */
  seed(path: string, file: SeedFile): void {
    this.#fill(() => this.#make(path, file));
  }

  #make(path: string, file: SeedFile): void {
    if (file instanceof Uint8Array) return this.writeFile(path, file);
    this.#above(path);
    if (file.type === "symlink") this.symlink(file.target, this.root, path);
    else if (!(resolve(this.root, path).node instanceof Directory)) this.mkdir(this.root, path);
  }

  /** Writes a whole file, and creates the directories above it. */
  writeFile(path: string, bytes: Uint8Array): void {
    this.#above(path);
    const file = this.openNode(this.root, path, true, wasi.OFLAGS_CREAT);
    if (!(file instanceof File)) fail(wasi.ERRNO_ISDIR);
    file.resize(bytes.byteLength);
    file.write(0, bytes);
  }

  #above(path: string): void {
    for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1)) {
      const directory = path.slice(0, at);
      if (!resolve(this.root, directory, true).node) this.mkdir(this.root, directory);
    }
  }

  remove(path: string): boolean {
    const { node } = resolve(this.root, path);
    if (!node) return false;
    this.#fill(() => (node instanceof Directory ? this.rmdir(this.root, path) : this.unlink(this.root, path)));
    return true;
  }

  /**
   * Everything below a directory that is in the same mount, by paths from there; null if there is no such directory.
   *
   * @throws Errno ENOSPC if the contents, each once for every name, exceed the limit
   */
  tree(path: string, detail: TreeDetail): TreeEntry[] | null {
    const base = path === "" ? this.root : resolve(this.root, path).node;
    if (!(base instanceof Directory)) return null;
    let bytes = 0;
    return [...walk(base, base.mount)].map(([path, node]) => {
      const entry: TreeEntry = { ...describe(path, node), revision: node.revision };
      if (!(node instanceof File)) return entry;
      if (detail === "digests") entry.digest = node.sha256();
      if (detail === "bytes") {
        bytes += node.size;
        if (bytes > this.#maxBytes) fail(wasi.ERRNO_NOSPC);
        entry.bytes = node.read(0, node.size);
      }
      return entry;
    });
  }

  list(): FileStat[] {
    return [...walk(this.root)].map(([path, node]) => describe(path, node));
  }

  /** Describes what the path names; a symbolic link is not followed. */
  stat(path: string): FileStat | null {
    const { node } = resolve(this.root, path);
    return node ? describe(path, node) : null;
  }

  /** SHA-256 of the whole tree, hex. */
  sha256(): string {
    return treeDigest(this.root);
  }

  // For descriptors --------------------------------------------------------------------------------------------------

  /** @throws Errno ENOSPC past the limit, or the mount's quota; a negative number gives bytes back */
  charge(bytes: number, mount: Mount | null): void {
    const over = this.#usedBytes + bytes > this.#maxBytes || (mount && mount.usedBytes + bytes > mount.quotaBytes);
    if (bytes > 0 && over) fail(wasi.ERRNO_NOSPC);
    this.#usedBytes += bytes;
    if (mount) mount.usedBytes += bytes;
  }

  existing(base: Directory, path: string, follow: boolean): Node {
    return resolve(base, path, follow).node ?? fail(wasi.ERRNO_NOENT);
  }

  /** @param write whether the guest will write to it */
  openNode(base: Directory, path: string, follow: boolean, oflags: number, write = false): Node {
    const create = has(oflags, wasi.OFLAGS_CREAT);
    const exclusive = create && has(oflags, wasi.OFLAGS_EXCL);
    if (create && has(oflags, wasi.OFLAGS_DIRECTORY)) fail(wasi.ERRNO_INVAL);
    const place = resolve(base, path, follow && !exclusive);
    const { node } = place;
    if (!node) {
      if (!create) fail(wasi.ERRNO_NOENT);
      if (place.slash) fail(wasi.ERRNO_ISDIR);
      return this.#add(place, new File(this));
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
    const place = resolveItself(base, path);
    if (place.node) fail(wasi.ERRNO_EXIST);
    this.#add(place, new Directory(place.parent));
  }

  symlink(target: string, base: Directory, path: string): void {
    if (target === "") fail(wasi.ERRNO_NOENT);
    if (target.startsWith("/")) fail(wasi.ERRNO_NOTCAPABLE);
    const place = resolveItself(base, path);
    if (place.node) fail(wasi.ERRNO_EXIST);
    if (place.slash) fail(wasi.ERRNO_NOENT);
    const { mount } = place.parent;
    if (mount?.links === false) fail(wasi.ERRNO_PERM);
    const link = new Symlink(target);
    this.charge(link.bytes, mount);
    try {
      this.#add(place, link);
    } catch (error) {
      this.charge(-link.bytes, mount);
      throw error;
    }
  }

  readlink(base: Directory, path: string): string {
    const { node } = resolve(base, path);
    if (!node) fail(wasi.ERRNO_NOENT);
    return node instanceof Symlink ? node.target : fail(wasi.ERRNO_INVAL);
  }

  rmdir(base: Directory, path: string): void {
    const { parent, name, node } = resolveItself(base, path);
    if (!node) fail(wasi.ERRNO_NOENT);
    if (!(node instanceof Directory)) fail(wasi.ERRNO_NOTDIR);
    if (name === null) fail(wasi.ERRNO_INVAL);
    if (node.sealed) fail(wasi.ERRNO_ACCES);
    if (node.pinned) fail(wasi.ERRNO_BUSY);
    if (node.entries.size > 0) fail(wasi.ERRNO_NOTEMPTY);
    this.#detach(parent, name, node);
  }

  unlink(base: Directory, path: string): void {
    const { parent, name, node } = resolveItself(base, path);
    if (!node) fail(wasi.ERRNO_NOENT);
    if (name === null || node instanceof Directory) fail(wasi.ERRNO_ISDIR);
    this.#detach(parent, name, node);
  }

  link(from: Directory, path: string, to: Directory, target: string): void {
    const { node } = resolveItself(from, path);
    if (!node) fail(wasi.ERRNO_NOENT);
    if (!(node instanceof File || node instanceof Symlink)) fail(wasi.ERRNO_PERM);
    const place = resolveItself(to, target);
    if (place.node) fail(wasi.ERRNO_EXIST);
    if (place.slash) fail(wasi.ERRNO_NOENT);
    if (node.mount !== place.parent.mount) fail(wasi.ERRNO_XDEV);
    this.#attachable(place);
    if (node.mount) fail(wasi.ERRNO_PERM);
    this.#countOne();
    this.#attach(place, node);
    node.nlink++;
    node.changed = this.now();
  }

  rename(from: Directory, path: string, to: Directory, target: string): void {
    const source = resolveItself(from, path);
    if (!source.node) fail(wasi.ERRNO_NOENT);
    if (source.name === null) fail(wasi.ERRNO_BUSY);
    const place = resolveItself(to, target);
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
    this.#attachable(place);
    if (place.node) this.#detach(place.parent, place.name, place.node);
    source.parent.entries.delete(source.name);
    source.parent.modified = source.parent.changed = moving.changed = this.now();
    this.#attach(place, moving);
    if (moving instanceof Directory) reparent(moving, place.parent);
  }

  #add<T extends Node>(place: ResolvedPath, node: T): T {
    if (node instanceof Directory && node.depth > MAX_DEPTH) fail(wasi.ERRNO_NAMETOOLONG);
    this.#attachable(place);
    this.#countOne();
    node.mount = place.parent.mount;
    node.accessed = node.modified = node.changed = this.now();
    this.#attach(place, this.#number(node));
    return node;
  }

  /** Counts names rather than files, so that links count too. */
  #countOne(): void {
    if (this.#names + 1 > this.#maxNames) fail(wasi.ERRNO_NOSPC);
    this.#names++;
  }

  #attachable({ parent, name }: ResolvedPath): void {
    if (name === null) fail(wasi.ERRNO_EXIST);
    if (parent.removed) fail(wasi.ERRNO_NOENT);
    if (parent.sealed) fail(wasi.ERRNO_ACCES);
    this.guard(parent.mount);
  }

  #attach(place: ResolvedPath, node: Node): void {
    this.#attachable(place);
    place.parent.entries.set(place.name!, node);
    place.parent.modified = place.parent.changed = this.now();
  }

  #detach(parent: Directory, name: string, node: Node): void {
    if (parent.sealed) fail(wasi.ERRNO_ACCES);
    this.guard(parent.mount);
    parent.entries.delete(name);
    parent.modified = parent.changed = this.now();
    node.nlink--;
    node.changed = this.now();
    this.#names--;
    if (node instanceof Directory) node.removed = true;
    if (node instanceof File) node.releaseIfGone();
    if (node instanceof Symlink && node.nlink === 0n) this.charge(-node.bytes, node.mount);
  }

  /**
   * Each volume has its own inode numbers, so that a guest sees the same ones whenever the same history is executed.
   */
  #number<T extends Node>(node: T): T {
    node.ino = this.#nextIno++;
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
