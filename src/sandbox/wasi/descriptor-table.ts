/** The descriptor table of an instance. */
import { wasi } from "@bjorn3/browser_wasi_shim";
import type { Description } from "../fs/description.ts";
import { OpenDirectory } from "../fs/descriptors.ts";
import { Stream } from "../fs/devices.ts";
import { fail } from "../preview1/errno.ts";
import { RIGHT_FD_READ, RIGHT_FD_WRITE } from "../preview1/rights.ts";

/** An entry of the table. Its rights only ever become fewer. */
export interface Descriptor {
  file: Description;
  base: bigint;
  inheriting: bigint;
}

/** What of a table changes. */
export interface TableState {
  fds: (Descriptor | undefined)[];
  open: number;
}

/** Gives a newly opened file those of the rights that make sense for it. */
function descriptorOf(file: Description, base = -1n, inheriting = -1n): Descriptor {
  return { file, base: base & file.rights, inheriting: inheriting & file.inheriting };
}

export class DescriptorTable {
  #fds: (Descriptor | undefined)[];
  #open = 1;

  /** @param root the directory that the guest begins with, as descriptor 3 */
  constructor(root: Description) {
    this.#fds = [undefined, undefined, undefined, descriptorOf(root)];
  }

  /** How many descriptors are open. */
  get open(): number {
    return this.#open;
  }

  find(fd: number): Descriptor | undefined {
    return this.#fds[fd];
  }

  entry(fd: number): Descriptor {
    return this.#fds[fd] ?? fail(wasi.ERRNO_BADF);
  }

  /** @throws Errno if the descriptor lacks the right */
  get(fd: number, right = 0n): Description {
    const { file, base } = this.entry(fd);
    if ((base & right) === right) return file;
    // The errnos of POSIX, where it has any for this.
    if (right & (RIGHT_FD_READ | RIGHT_FD_WRITE)) fail(wasi.ERRNO_BADF);
    fail(file instanceof Stream ? wasi.ERRNO_SPIPE : wasi.ERRNO_NOTCAPABLE);
  }

  /** @throws Errno if it is not a directory, or lacks the right */
  directory(fd: number, right: bigint): OpenDirectory {
    const { file, base } = this.entry(fd);
    if (!(file instanceof OpenDirectory)) fail(wasi.ERRNO_NOTDIR);
    return (base & right) === right ? file : fail(wasi.ERRNO_NOTCAPABLE);
  }

  /** Adds a file at the lowest free descriptor, with those of the rights that make sense for it. */
  add(file: Description, base: bigint, inheriting: bigint): number {
    let slot = this.#fds.indexOf(undefined);
    if (slot < 0) slot = this.#fds.length;
    this.#fds[slot] = descriptorOf(file, base, inheriting);
    this.#open++;
    return slot;
  }

  /** Replaces a standard stream, which is not closed: it belongs to the previous run. */
  stream(fd: 0 | 1 | 2, stream: Stream): void {
    if (!this.#fds[fd]) this.#open++;
    this.#fds[fd] = descriptorOf(stream);
  }

  close(fd: number): void {
    const { file } = this.entry(fd);
    this.#fds[fd] = undefined;
    this.#open--;
    file.close();
  }

  renumber(from: number, to: number): void {
    const moving = this.entry(from);
    const replaced = this.entry(to);
    if (from === to) return;
    replaced.file.close();
    this.#fds[to] = moving;
    this.#fds[from] = undefined;
    this.#open--;
  }

  closeAll(): void {
    for (const it of this.#fds) it?.file.close();
  }

  /** The live state; a replay copies it. */
  save(): TableState {
    return { fds: [...this.#fds], open: this.#open };
  }

  restore({ fds, open }: TableState): void {
    this.#fds = [...fds];
    this.#open = open;
  }
}
