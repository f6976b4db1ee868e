/**
 * The nodes of a tree of files: files, directories, devices and symbolic links.
 *
 * No field is `#private`: a replay copies nodes property by property (`replay/host-state.ts`).
 */
import { wasi } from "@bjorn3/browser_wasi_shim";
import { sha256Hex } from "../../base/sha256.ts";
import { toUtf8 } from "../../base/utf8.ts";
import type { MountShape } from "../../protocol/messages.ts";
import { fail } from "../preview1/errno.ts";
import { ALL_FSTFLAGS, has } from "../preview1/flags.ts";
import type { Description, Stat } from "./description.ts";

/** The volume, as its files see it. */
export interface Accounts {
  /** @throws Errno ENOSPC past the limit, or the mount's quota; gives back when negative */
  charge(bytes: number, mount: Mount | null): void;
  /** A number that no content had before. */
  nextRevision(): number;
  /** The time for stamps, ns since 1970. */
  now(): bigint;
}

/** A part of the tree that is kept elsewhere. No link leads into or out of it, and nothing can be moved across. */
export interface Mount extends MountShape {
  usedBytes: number;
}

export abstract class Node {
  /** Inode number, unique in its volume. */
  ino = 0n;
  /** Changes whenever the content does; guests do not see it. */
  revision = 0;
  /** The mount that it is in; null if it is only the agent's. */
  mount: Mount | null = null;
  /** Nanoseconds since 1970 by the guest's clock. */
  accessed = 0n;
  modified = 0n;
  changed = 0n;
  nlink = 1n;

  abstract readonly filetype: number;
  protected abstract readonly bytes: number;

  stat(): Stat {
    const { ino, filetype, nlink, bytes: size, accessed, modified, changed } = this;
    return { ino, filetype, nlink, size, accessed, modified, changed };
  }

  /** Sets the times that `flags` name, to those given or to now. */
  setTimes(now: bigint, atim: bigint, mtim: bigint, flags: number): void {
    const both = (one: number, other: number) => has(flags, one) && has(flags, other);
    if (
      flags >>> 0 > ALL_FSTFLAGS ||
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

export class File extends Node {
  readonly filetype = wasi.FILETYPE_REGULAR_FILE;
  size = 0;
  /** Descriptors that hold the file open. Its bytes count until the last of them and the last name are gone. */
  opens = 0;
  data = new Uint8Array(0);
  digest: string | undefined;
  readonly accounts: Accounts;

  constructor(accounts: Accounts) {
    super();
    this.accounts = accounts;
  }

  protected get bytes(): number {
    return this.size;
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

  /** @throws Errno ENOSPC past the volume's limit */
  resize(size: number): void {
    this.accounts.charge(size - this.size, this.mount);
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
    this.digest ??= sha256Hex(this.data.subarray(0, this.size));
    return this.digest;
  }

  /** Gives its bytes back once nothing can reach them. */
  releaseIfGone(): void {
    if (this.nlink === 0n && this.opens === 0) this.resize(0);
  }

  touch(): void {
    this.digest = undefined;
    this.revision = this.accounts.nextRevision();
    this.modified = this.changed = this.accounts.now();
  }
}

export class Directory extends Node {
  readonly filetype = wasi.FILETYPE_DIRECTORY;
  protected readonly bytes = 0;
  readonly entries = new Map<string, Node>();
  parent: Directory | null;
  depth: number;
  /** It was removed, and nothing can be created in it. */
  removed = false;
  /** It is the kernel's own, and its entries are fixed. */
  sealed = false;
  /** It is the root of a mount or above one, and cannot be moved or removed. */
  pinned = false;

  constructor(parent: Directory | null) {
    super();
    this.parent = parent;
    this.mount = parent?.mount ?? null;
    this.depth = parent ? parent.depth + 1 : 0;
  }

  /** Entries in order of their names' UTF-16 units, so that listings are the same everywhere. */
  sorted(): [string, Node][] {
    return [...this.entries].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

/** A node whose descriptors the sandbox makes, such as `/dev/vak`. */
export class Device extends Node {
  readonly filetype = wasi.FILETYPE_CHARACTER_DEVICE;
  protected readonly bytes = 0;
  readonly make: () => Description;

  constructor(make: () => Description) {
    super();
    this.make = make;
  }
}

/** A symbolic link. Its target is relative, since an absolute path names nothing that a guest holds. */
export class Symlink extends Node {
  readonly filetype = wasi.FILETYPE_SYMBOLIC_LINK;
  readonly target: string;

  constructor(target: string) {
    super();
    this.target = target;
  }

  get bytes(): number {
    return toUtf8(this.target).length;
  }
}
