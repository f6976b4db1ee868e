/** What a kernel and an agent are made of, as the page says it: the shapes, and what is refused of them. */

import type { OnApproval } from "../broker/people.ts";
import { VakError } from "../errors.ts";
import { checkLabels, joinLabels } from "../labels.ts";
import type { Limits } from "../limits.ts";
import type { LogOptions } from "../log/log.ts";
import type { Budget } from "../policy/budget.ts";
import type { PolicySource } from "../policy/engine.ts";
import type { WasmSource } from "../policy/wasm.ts";
import { MAX_PATH } from "../protocol/bounds.ts";
import type { SeedFile } from "../protocol/messages.ts";
import type { Tool } from "../tool/definition.ts";
import type { OnFull } from "../worker/capacity.ts";
import type { Isolation, Place } from "../worker/host.ts";
import type { Agent } from "./agent.ts";
import { checkPath, toBytes } from "./agent-files.ts";
import { type ShimFile, type ShimTree, withoutShim } from "./shim-files.ts";

export interface KernelOptions {
  /** Cedar policies, as text or with what belongs to them. Without any, every call is denied. */
  policy?: PolicySource;
  /**
   * Cedar text of forbids that stand above every policy: no policy that is loaded later, and no approval, can lift them.
   * Fixed with the kernel, and in the log with each policy.
   */
  constitution?: string;
  /** What guests may ask for, if the policy lets them. */
  tools?: readonly Tool<never>[];
  /** The log in this origin's IndexedDB: its name, and what to do where another tab writes it. */
  log?: LogOptions;
  /**
   * Asks a person where the policy does: where a call would be allowed if only `context.vak.approved` were so. The guest
   * waits, and its deadline stands still. Without, such calls are denied.
   */
  onApproval?: OnApproval;
  /** ms that a person has to answer; no answer means no. 120,000 unless given, at most 2^31 - 1. */
  approvalMs?: number;
  /** How much may be used, by name; see {@link Budget}. At most 32. */
  budgets?: { readonly [name: string]: Budget };
  /** Where Cedar's WebAssembly is, if not in `cedar.wasm` beside this script. */
  cedar?: WasmSource;
  /** For agents whose spawn does not say; see {@link SpawnOptions}. */
  isolation?: Isolation;
  workerUrl?: string | URL;
  /**
   * What becomes of a run where the browser has no room for another program, as Chromium has not past about 125 in a
   * page at once: `"wait"`, the default, until runs of others have ended, while its deadline stands still; or `"fail"`, with
   * a message that says so. Where there are no others to wait for, it fails either way.
   */
  onFull?: OnFull;
}

/** A program: a response that is or will be there, where to fetch it, or its bytes. */
export type ProgramSource = Response | Promise<Response> | URL | string | BufferSource;

/**
 * Text, bytes, either with labels, an empty directory, or a symbolic link, whose target is relative to the directory that
 * it is in. Files and directories of `@bjorn3/browser_wasi_shim` are taken as they are.
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

/**
 * A directory of an agent's files that is kept elsewhere: in files that the page gives; in a directory that it has, one
 * which a person picked or one of the origin private file system; under a name in this origin, which survives a reload; or
 * as another agent's folder, of which this one has a copy. `docs/files.md` has what happens when.
 */
export type Mount = (
  | { files: FirstFiles }
  | { directory: FileSystemDirectoryHandle }
  | { persist: string }
  | { agent: Agent; folder?: string }
) & {
  /** Whether the program can only read it. Another agent's folder is. */
  readOnly?: boolean;
  /** Bytes that it may hold, of the agent's `fileBytes`; all of those unless given. */
  quotaBytes?: number;
  /** What is in it is labelled so: the agent is from its spawn on, whether it reads it or not. */
  labels?: readonly string[];
};

export interface SpawnOptions {
  /** What policies and the log call the agent; 1 to 64 characters. */
  name: string;
  /** A WASI preview 1 command, or a reactor. */
  program: ProgramSource;
  limits?: Partial<Limits>;
  /** The agent's first files, by path. */
  files?: FirstFiles;
  /** Directories that are kept elsewhere, by path, such as `"data"`; `"/"` is all that is in no other. At most 16. */
  mounts?: Record<string, Mount>;
  /** Seeds the guest's random numbers; a whole number. Drawn at random unless given, and in the log either way. */
  seed?: number;
  /** An agent of this kernel, whose rights it shares: it never has more, and loses what that one loses. */
  parent?: Agent;
  /** Names of the tools that it may ask for, if the policy lets it; all that the parent may ask for unless given. */
  grants?: readonly string[];
  /**
   * What it is labelled from the beginning, besides its parent's labels and those of its files: where another agent wrote
   * its program, say.
   */
  labels?: readonly string[];
  isolation?: Isolation;
  /** Where you serve the file `vak/worker`; with isolation "page" only. */
  workerUrl?: string | URL;
  /** Gives up the spawn. */
  signal?: AbortSignal;
  /** Told how far a large program has come. */
  onProgress?: (progress: SpawnProgress) => void;
}

/** How a recorded run is gone on with: its program, where it runs; `signal` stops it. */
export type ForkOptions = Pick<SpawnOptions, "program" | "isolation" | "workerUrl" | "signal" | "onProgress">;

export interface SpawnProgress {
  /** `load`: its bytes arrive. `compile`: it is checked, metered and compiled. `ready`: it can be run. */
  phase: "load" | "compile" | "ready";
  /** Bytes there so far. */
  loaded: number;
  /** Bytes in all; null where the server did not say. */
  total: number | null;
}

export function checkName(name: unknown): string {
  if (typeof name === "string" && /^[^\p{C}]{1,64}$/u.test(name)) return name;
  throw new VakError("invalid-argument", "An agent's name has 1 to 64 printable characters.");
}

export function checkSeed(seed: number | undefined): number {
  if (seed === undefined) return crypto.getRandomValues(new Uint32Array(1))[0]!;
  if (Number.isSafeInteger(seed)) return seed;
  throw new VakError("invalid-argument", `The seed is ${seed}; give a whole number.`);
}

export function checkPeople({
  onApproval,
  approvalMs,
}: KernelOptions): Pick<KernelOptions, "onApproval" | "approvalMs"> {
  if (onApproval !== undefined && typeof onApproval !== "function") {
    throw new VakError("invalid-argument", "onApproval is a function (request, { signal }) => ({ approve, by }).");
  }
  if (approvalMs !== undefined && !(Number.isSafeInteger(approvalMs) && approvalMs >= 1 && approvalMs < 2 ** 31)) {
    throw new VakError("invalid-argument", "approvalMs is a whole number of ms, from 1 to 2^31 - 1.");
  }
  return { ...(onApproval && { onApproval }), ...(approvalMs !== undefined && { approvalMs }) };
}

export function checkPlace({ isolation = "opaque", workerUrl }: Partial<Place>): Place {
  if (isolation !== "opaque" && isolation !== "frame" && isolation !== "page") {
    throw new VakError(
      "invalid-argument",
      `There is no isolation ${JSON.stringify(isolation)}; use "opaque", "frame" or "page".`,
    );
  }
  if (isolation === "frame" && typeof document === "undefined") {
    throw new VakError("unsupported", 'Isolation "frame" needs a document; in a worker use "opaque".');
  }
  if (workerUrl !== undefined && isolation !== "page") {
    throw new VakError("invalid-argument", 'A workerUrl is of the page\'s own origin: say isolation: "page" as well.');
  }
  return { isolation, workerUrl };
}

/** @param labels what else the agent is labelled */
export function checkFiles(
  files: FirstFiles,
  limits: Limits,
  labels: readonly string[],
): { files: Record<string, SeedFile>; labels: readonly string[] } {
  const checked: Record<string, SeedFile> = Object.create(null);
  let total = 0;
  let joined = labels;
  for (const [path, given] of withoutShim(files, limits)) {
    const labelled = isLabelled(given);
    if (labelled) joined = joinLabels(joined, checkLabels(given.labels, `the file ${JSON.stringify(path)}`));
    const file = checkFile(path, labelled ? given.data : given);
    if (file instanceof Uint8Array) total += file.byteLength;
    checked[checkPath(path)] = file;
  }
  if (total <= limits.fileBytes) return { files: { ...checked }, labels: joined };
  throw new VakError("invalid-argument", `The files hold ${total} bytes; limits.fileBytes is ${limits.fileBytes}.`);
}

const isLabelled = (file: unknown): file is { data: unknown; labels: readonly string[] } =>
  typeof file === "object" && file !== null && "data" in file;

export function checkFile(path: string, data: unknown): SeedFile {
  if (typeof data === "string" || typeof (data as ArrayBuffer)?.byteLength === "number") {
    return toBytes(data as string | BufferSource);
  }
  const { type, target } = (data ?? {}) as { type?: unknown; target?: unknown };
  if (type === "directory") return { type };
  if (type === "symlink") {
    const good = typeof target === "string" && /^[^/\0][^\0]*$/.test(target) && target.isWellFormed();
    if (good && target.length <= MAX_PATH) return { type, target };
    throw new VakError(
      "invalid-argument",
      `The target of the symbolic link ${JSON.stringify(path)} is a relative path, such as "../data/x".`,
    );
  }
  throw new VakError(
    "invalid-argument",
    `The file ${JSON.stringify(path)} is text, bytes, { data, labels }, { type: "directory" } or { type: "symlink", target }.`,
  );
}
