/**
 * A file system as WASI and POSIX describe it, written as simply as possible: no inode numbers, times or rights. The
 * real one is compared with it. Errors are errno names.
 */
export class Refused extends Error {}

const refuse = (errno: string): never => {
  throw new Refused(errno);
};

export interface ModelFile {
  kind: "file";
  data: number[];
}
export interface ModelLink {
  kind: "link";
  target: string;
}
export interface ModelDirectory {
  kind: "directory";
  entries: Map<string, ModelNode>;
}
export type ModelNode = ModelFile | ModelLink | ModelDirectory;

export interface ModelOpen {
  file: ModelFile;
  position: number;
  append: boolean;
}

interface Found {
  /** The directories from the root to the one that holds the entry. */
  above: ModelDirectory[];
  /** Null if the path ends in dots. */
  name: string | null;
  node: ModelNode | undefined;
}

const directory = (): ModelDirectory => ({ kind: "directory", entries: new Map() });
const length = (text: string) => new TextEncoder().encode(text).byteLength;

export class Model {
  readonly root = directory();
  readonly opened: (ModelOpen | undefined)[] = [];
  readonly #limits: { fileBytes: number; fileCount: number };

  constructor(limits: { fileBytes: number; fileCount: number }) {
    this.#limits = limits;
  }

  /** Bytes that count: each file and link once, including those that are only open. */
  get bytes(): number {
    const seen = new Set<ModelNode>();
    this.#each((_, node) => seen.add(node));
    for (const it of this.opened) if (it) seen.add(it.file);
    let sum = 0;
    for (const node of seen) {
      if (node.kind === "file") sum += node.data.length;
      if (node.kind === "link") sum += length(node.target);
    }
    return sum;
  }

  get #names(): number {
    let count = 0;
    this.#each(() => count++);
    return count;
  }

  /** The tree, path by path in order. */
  list(): string[] {
    const lines: string[] = [];
    this.#each((path, node) => {
      if (node.kind === "directory") lines.push(`directory ${path}`);
      if (node.kind === "file") lines.push(`file ${path} ${node.data}`);
      if (node.kind === "link") lines.push(`symlink ${path} ${node.target}`);
    });
    return lines;
  }

  #each(visit: (path: string, node: ModelNode) => void, from = this.root, prefix = ""): void {
    for (const name of [...from.entries.keys()].sort()) {
      const node = from.entries.get(name)!;
      visit(prefix + name, node);
      if (node.kind === "directory") this.#each(visit, node, `${prefix}${name}/`);
    }
  }

  #walk(stack: ModelDirectory[], parts: string[], followLast: boolean, budget = { links: 40 }): Found {
    const [part, ...rest] = parts;
    const here = stack.at(-1)!;
    if (part === undefined) return { above: stack.slice(0, -1), name: null, node: here };
    let next: ModelNode | undefined;
    let above = stack;
    let name: string | null = null;
    if (part === ".") next = here;
    else if (part === "..") {
      if (stack.length === 1) refuse("NOTCAPABLE");
      next = stack.at(-2)!;
      above = stack.slice(0, -2);
    } else {
      name = part;
      next = here.entries.get(part);
      if (next?.kind === "link" && (rest.length > 0 || followLast)) {
        if (budget.links-- === 0) refuse("LOOP");
        return this.#walk(stack, [...split(next.target), ...rest], followLast, budget);
      }
    }
    if (rest.length === 0) return { above, name, node: next };
    if (!next) return refuse("NOENT");
    if (next.kind !== "directory") return refuse("NOTDIR");
    const deeper = part === ".." ? stack.slice(0, -1) : part === "." ? stack : [...stack, next];
    return this.#walk(deeper, rest, followLast, budget);
  }

  /** What open, stat and the like see. */
  #find(path: string, follow: boolean): Found {
    if (path === "") refuse("NOENT");
    if (path.startsWith("/")) refuse("NOTCAPABLE");
    const slash = path.endsWith("/");
    const found = this.#walk([this.root], split(path), follow || slash);
    if (slash && found.node && found.node.kind !== "directory") refuse("NOTDIR");
    return found;
  }

  /** What creating, removing and moving see: the entry itself. */
  #entry(path: string): Found {
    if (path === "") refuse("NOENT");
    if (path.startsWith("/")) refuse("NOTCAPABLE");
    const found = this.#walk([this.root], split(path), false);
    if (path.endsWith("/") && found.node && found.node.kind !== "directory") refuse("NOTDIR");
    return found;
  }

  #insert({ above, name }: Found, node: ModelNode): void {
    if (this.#names + 1 > this.#limits.fileCount) refuse("NOSPC");
    above.at(-1)!.entries.set(name!, node);
  }

  #room(more: number): void {
    if (more > 0 && this.bytes + more > this.#limits.fileBytes) refuse("NOSPC");
  }

  mkdir(path: string): void {
    const found = this.#entry(path);
    if (found.node) refuse("EXIST");
    this.#insert(found, directory());
  }

  rmdir(path: string): void {
    const { above, name, node } = this.#entry(path);
    if (!node) return refuse("NOENT");
    if (node.kind !== "directory") return refuse("NOTDIR");
    if (name === null) return refuse("INVAL");
    if (node.entries.size > 0) return refuse("NOTEMPTY");
    above.at(-1)!.entries.delete(name);
  }

  unlink(path: string): void {
    const { above, name, node } = this.#entry(path);
    if (!node) return refuse("NOENT");
    if (name === null || node.kind === "directory") return refuse("ISDIR");
    above.at(-1)!.entries.delete(name);
  }

  symlink(target: string, path: string): void {
    if (target === "") refuse("NOENT");
    if (target.startsWith("/")) refuse("NOTCAPABLE");
    const found = this.#entry(path);
    if (found.node) refuse("EXIST");
    if (path.endsWith("/")) refuse("NOENT");
    this.#room(length(target));
    this.#insert(found, { kind: "link", target });
  }

  readlink(path: string): string {
    const { node } = this.#find(path, false);
    if (!node) return refuse("NOENT");
    return node.kind === "link" ? node.target : refuse("INVAL");
  }

  link(from: string, to: string): void {
    const { node } = this.#entry(from);
    if (!node) return refuse("NOENT");
    if (node.kind === "directory") return refuse("PERM");
    const place = this.#entry(to);
    if (place.node) refuse("EXIST");
    if (to.endsWith("/")) refuse("NOENT");
    this.#insert(place, node);
  }

  rename(from: string, to: string): void {
    const source = this.#entry(from);
    if (!source.node) return refuse("NOENT");
    if (source.name === null) return refuse("BUSY");
    const place = this.#entry(to);
    if (place.name === null) return refuse("BUSY");
    if (place.node === source.node) return;
    if (source.node.kind === "directory") {
      if (place.above.includes(source.node)) refuse("INVAL");
      if (place.node && place.node.kind !== "directory") refuse("NOTDIR");
      if (place.node?.kind === "directory" && place.node.entries.size > 0) refuse("NOTEMPTY");
    } else {
      if (place.node?.kind === "directory") refuse("ISDIR");
      if (to.endsWith("/")) refuse("NOTDIR");
    }
    source.above.at(-1)!.entries.delete(source.name);
    place.above.at(-1)!.entries.set(place.name, source.node);
  }

  stat(path: string, follow: boolean): ModelNode {
    return this.#find(path, follow).node ?? refuse("NOENT");
  }

  /** The link count of a node: how many names it has. */
  links(node: ModelNode): number {
    let count = 0;
    this.#each((_, it) => {
      if (it === node) count++;
    });
    return node.kind === "directory" ? 1 : count;
  }

  names_of(path: string): string[] {
    const node = this.stat(path, true);
    return node.kind === "directory" ? [".", "..", ...[...node.entries.keys()].sort()] : refuse("NOTDIR");
  }

  /** Opens a file; returns its place among those that are open. */
  open(
    path: string,
    o: { create: boolean; exclusive: boolean; truncate: boolean; append: boolean; follow: boolean },
  ): number {
    const exclusive = o.create && o.exclusive;
    const found = this.#find(path, o.follow && !exclusive);
    let { node } = found;
    if (!node) {
      if (!o.create) refuse("NOENT");
      if (path.endsWith("/")) refuse("ISDIR");
      node = { kind: "file", data: [] };
      this.#insert(found, node);
    } else if (exclusive) refuse("EXIST");
    if (node.kind === "link") return refuse("LOOP");
    if (node.kind === "directory") return refuse("ISDIR");
    if (o.truncate) node.data.length = 0;
    this.opened.push({ file: node, position: 0, append: o.append });
    return this.opened.length - 1;
  }

  /** Returns the number of bytes written. */
  writeAt(file: ModelFile, at: number, data: number[]): number {
    if (data.length === 0) return 0;
    this.#room(at + data.length - file.data.length);
    while (file.data.length < at) file.data.push(0);
    data.forEach((byte, i) => {
      file.data[at + i] = byte;
    });
    return data.length;
  }

  write(it: ModelOpen, data: number[]): number {
    const at = it.append ? it.file.data.length : it.position;
    this.writeAt(it.file, at, data);
    it.position = at + data.length;
    return data.length;
  }

  truncate(it: ModelOpen, size: number): void {
    this.#room(size - it.file.data.length);
    while (it.file.data.length < size) it.file.data.push(0);
    it.file.data.length = size;
  }
}

const split = (path: string): string[] => path.split("/").filter(Boolean);
