/** An agent's first files, checked and copied. */
import { isPlain } from "../base/guards.ts";
import { lazy } from "../base/lazy.ts";
import { VakError } from "../errors.ts";
import { checkLabels, joinLabels } from "../labels.ts";
import type { Limits } from "../limits.ts";
import { MAX_PATH } from "../protocol/bounds.ts";
import type { SeedFile } from "../protocol/messages.ts";
import { checkPath } from "./file-path.ts";
import { toBytes } from "./own-bytes.ts";
import type { ShimFile, ShimTree } from "./shim-files.ts";

/**
 * Text or bytes, with labels or without; an empty directory; or a symbolic link, whose target is relative to the
 * directory that holds the link. Files and directories of `@bjorn3/browser_wasi_shim` are taken as they are.
 */
export type FirstFile =
  | string
  | BufferSource
  | ShimFile
  | ShimTree
  | { data: string | BufferSource | ShimFile | ShimTree; labels: readonly string[] }
  | { type: "directory" }
  | { type: "symlink"; target: string };

/** First files by path; or a directory of `@bjorn3/browser_wasi_shim`, which is then the agent's root. */
export type FirstFiles = Record<string, FirstFile> | ShimTree;

/** Takes first files apart into paths and what is there. */
export type Flatten = (files: FirstFiles, limits: Limits) => [path: string, file: unknown][];

/**
 * What takes these files apart. For vak's own forms that is here at once, so that they are copied before `spawn`
 * returns to its caller. For trees of the shim it is loaded first: the page must not change one until the agent is
 * there.
 *
 * @throws VakError `log-unavailable` when it cannot be loaded
 */
export function flattener(all: readonly FirstFiles[]): Flatten | Promise<Flatten> {
  const own = all.every((files) => isPlain(files) && Object.values(files).every(isOwn));
  return own ? (files) => Object.entries(files) : lazy(import("./shim-files.ts")).then((it) => it.withoutShim);
}

/** Whether it is of a form of vak's own, as far as can be seen from outside: anything else may be of the shim. */
function isOwn(file: unknown): boolean {
  if (typeof file !== "object" || file === null || hasByteLength(file)) return true;
  const { type, data } = file as { type?: unknown; data?: unknown };
  return typeof type === "string" || typeof data === "string" || (hasByteLength(data) && !("readonly" in file));
}

const hasByteLength = (value: unknown): boolean =>
  Number.isInteger((value as ArrayBuffer | null | undefined)?.byteLength);

/**
 * @param labels the agent's other labels
 * @returns the files, and the agent's labels with those of the files
 * @throws VakError `invalid-argument`
 */
export function checkFiles(
  files: FirstFiles,
  limits: Limits,
  labels: readonly string[],
  flatten: Flatten,
): { files: Record<string, SeedFile>; labels: readonly string[] } {
  const checked: Record<string, SeedFile> = Object.create(null);
  let total = 0;
  let joined = labels;
  for (const [path, given] of flatten(files, limits)) {
    const labelled = isLabelled(given);
    if (labelled) joined = joinLabels([joined, checkLabels(given.labels, `the file ${JSON.stringify(path)}`)]);
    const file = checkFile(path, labelled ? given.data : given);
    if (file instanceof Uint8Array) total += file.byteLength;
    checked[checkPath(path)] = file;
  }
  if (total <= limits.fileBytes) return { files: { ...checked }, labels: joined };
  throw new VakError("invalid-argument", `The files hold ${total} bytes; limits.fileBytes is ${limits.fileBytes}.`);
}

const isLabelled = (file: unknown): file is { data: unknown; labels: readonly string[] } =>
  typeof file === "object" && file !== null && "data" in file;

function checkFile(path: string, data: unknown): SeedFile {
  if (typeof data === "string" || hasByteLength(data)) {
    return toBytes(data as string | BufferSource);
  }
  const { type, target } = (data ?? {}) as { type?: unknown; target?: unknown };
  if (type === "directory") return { type };
  if (type === "symlink") {
    const good = typeof target === "string" && /^[^/\0][^\0]*$/.test(target) && target.isWellFormed();
    if (good && target.length <= MAX_PATH) return { type, target };
    throw new VakError(
      "invalid-argument",
      `The target of the symbolic link ${JSON.stringify(path)} must be a relative path, such as "../data/x".`,
    );
  }
  throw new VakError(
    "invalid-argument",
    `The file ${JSON.stringify(path)} must be text, bytes, { data, labels }, { type: "directory" }, { type: "symlink", target }, or a File or Directory of browser_wasi_shim.`,
  );
}
