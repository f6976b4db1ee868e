/**
 * Trees of files as `@bjorn3/browser_wasi_shim` 0.4 has them, turned into the paths and bytes that an agent begins
 * with.
 *
 * They are recognised by their shape: a page may have a second copy of the shim, and vak's core imports none of its
 * code.
 */
import { isPlain } from "../base/guards.ts";
import { toUtf8 } from "../base/utf8.ts";
import { VakError } from "../errors.ts";
import { MAX_DEPTH, MAX_NAME } from "../protocol/bounds.ts";

/** Anything that the shim keeps in a directory. Only its `File` and `Directory` can be given to an agent. */
interface ShimInode {
  stat(): object;
}

/** The shim's `File`. */
export interface ShimFile extends ShimInode {
  data: Uint8Array;
  readonly: boolean;
}

/** The contents of a directory of the shim, by name. */
type ShimContents = ReadonlyMap<string, ShimInode>;

/** The shim's `Directory`. */
interface ShimDirectory extends ShimInode {
  contents: ShimContents;
}

/** The shim's `PreopenDirectory`, as its `WASI` takes it among the descriptors. */
interface ShimPreopen {
  prestat_name: string;
  dir: ShimDirectory;
}

/** A directory of the shim, in each form that it has. */
export type ShimTree = ShimContents | ShimDirectory | ShimPreopen;

/** An entry of a flattened shim tree: bytes that are still the shim's own, or an empty directory. */
type ShimEntry = Uint8Array<ArrayBuffer> | { type: "directory" };

/** The fields by which shim objects are recognised. */
type Shape = Partial<Record<"data" | "readonly" | "contents" | "dir" | "prestat_name" | "labels", unknown>>;

const shapeOf = (value: unknown): Shape => (typeof value === "object" && value !== null ? value : {});

const isMap = (value: unknown): value is ReadonlyMap<unknown, unknown> =>
  Object.prototype.toString.call(value) === "[object Map]";

/** By its tag, since the bytes may be of another frame. */
const isUint8Array = (value: unknown): value is Uint8Array<ArrayBuffer> =>
  Object.prototype.toString.call(value) === "[object Uint8Array]";

function isShimFile(value: unknown): value is ShimFile {
  const { data, readonly } = shapeOf(value);
  return isUint8Array(data) && typeof readonly === "boolean";
}

/** What is in a directory of the shim; undefined where the value is not one. */
function contentsOf(value: unknown): ReadonlyMap<unknown, unknown> | undefined {
  if (isMap(value)) return value;
  const { contents, dir, prestat_name } = shapeOf(value);
  if (isMap(contents)) return contents;
  const within = typeof prestat_name === "string" ? shapeOf(dir).contents : undefined;
  return isMap(within) ? within : undefined;
}

/**
 * An agent's first files with each tree of the shim in them replaced by its files and empty directories; all else is
 * left as it is. Nothing is copied: the bytes are counted first.
 *
 * @throws VakError `invalid-argument` for what an agent cannot have of a tree, or where its files exceed a limit
 */
export function withoutShim(
  files: Readonly<Record<string, unknown>> | ShimTree,
  limits: { fileBytes: number; fileCount: number },
): [path: string, file: unknown][] {
  const flat: [string, unknown][] = [];
  const totals = new Totals(limits);
  const flatten = (path: string, value: unknown, labels?: readonly string[]): void => {
    for (const [at, entry] of walk(path, value, totals)) {
      flat.push([at, labels !== undefined ? { data: entry, labels } : entry]);
    }
  };
  if (isMap(files) || (!isPlain(files) && isShim(files))) {
    if (!contentsOf(files)) {
      throw invalid(
        `files is ${nameOf(files)}; give paths, or a Directory, PreopenDirectory or Map of browser_wasi_shim.`,
      );
    }
    flatten("", files);
    return flat;
  }
  for (const [path, value] of Object.entries(files)) {
    const { data, labels } = (value ?? {}) as { data?: unknown; labels?: readonly string[] };
    if (path !== "" && labels !== undefined && isShim(data)) flatten(path, data, labels);
    else if (path !== "" && labels === undefined && isShim(value)) flatten(path, value);
    else flat.push([path, value]);
  }
  return flat;
}

const isShim = (value: unknown): boolean => isShimFile(value) || contentsOf(value) !== undefined || isOtherShim(value);

/** The shim's other objects: open descriptors, consoles, files of the origin private file system. */
function isOtherShim(value: unknown): boolean {
  if (typeof value !== "object" || value === null || isPlain(value)) return false;
  const { fd_read, path_open } = value as { fd_read?: unknown; path_open?: unknown };
  return typeof fd_read === "function" || typeof path_open === "function";
}

/** Counts what trees of the shim come to, against what an agent may have. */
class Totals {
  readonly #limits: { fileBytes: number; fileCount: number };
  #bytes = 0;
  #names = 0;

  constructor(limits: { fileBytes: number; fileCount: number }) {
    this.#limits = limits;
  }

  /** @throws VakError `invalid-argument` past a limit */
  add(bytes: number): void {
    const { fileBytes, fileCount } = this.#limits;
    this.#bytes += bytes;
    this.#names++;
    if (this.#names > fileCount) throw invalid(`The files are more than limits.fileCount, which is ${fileCount}.`);
    if (this.#bytes > fileBytes) {
      throw invalid(`The files hold more than limits.fileBytes, which is ${fileBytes} bytes.`);
    }
  }
}

/**
 * The files and the empty directories of a tree, in the order of its maps.
 *
 * @param path of the tree among the agent's files; empty where it is all of them
 * @param above the contents of the directories that it is in
 */
function* walk(path: string, value: unknown, totals: Totals, above: unknown[] = []): Generator<[string, ShimEntry]> {
  const label = JSON.stringify(path || "/");
  const { data } = isShimFile(value) ? value : {};
  if (path !== "") totals.add(data?.byteLength ?? 0);
  if (shapeOf(value).labels !== undefined) {
    throw invalid(`Labels of ${label}, in a tree, would be lost. Give the tree its labels: { data: tree, labels }.`);
  }
  if (data) return yield [path, data as Uint8Array<ArrayBuffer>];
  const contents = contentsOf(value);
  if (!contents) {
    throw invalid(
      `The file ${label} is ${nameOf(value)}. Of browser_wasi_shim an agent takes File, Directory, PreopenDirectory ` +
        "and a Map of names to these.",
    );
  }
  if (above.includes(contents)) throw invalid(`The directory ${label} contains itself; an agent's files are a tree.`);
  if (above.length >= MAX_DEPTH)
    throw invalid(`The directory ${label} is nested deeper than ${MAX_DEPTH} directories.`);
  if (contents.size === 0 && path !== "") yield [path, { type: "directory" }];
  for (const [name, child] of contents) {
    if (typeof name !== "string" || !isName(name)) {
      const wrong = typeof name === "string" ? JSON.stringify(name.slice(0, MAX_NAME)) : typeof name;
      throw invalid(
        `The directory ${label} has an entry named ${wrong}; a name has 1 to ${MAX_NAME} bytes and no slash.`,
      );
    }
    yield* walk(path === "" ? name : `${path}/${name}`, child, totals, [...above, contents]);
  }
}

/** The shim finds no entry whose name has a slash. What else a path cannot have is for `checkFiles` to refuse. */
const isName = (name: string): boolean =>
  name !== "" && !name.includes("/") && name.length <= MAX_NAME && toUtf8(name).length <= MAX_NAME;

function nameOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return value === null ? "null" : `a ${typeof value}`;
  const name: unknown = value.constructor?.name;
  return typeof name === "string" && name !== "" ? `of the class ${name}` : "an object";
}

const invalid = (message: string) => new VakError("invalid-argument", message);
