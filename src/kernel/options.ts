/** Options of kernels, agents and forks, and their checks. */
import type { OnApproval } from "../broker/people.ts";
import { VakError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { LogOptions } from "../log/log.ts";
import type { Budget } from "../policy/budget.ts";
import type { WasmSource } from "../policy/cedar/wasm.ts";
import type { PolicySource } from "../policy/engine.ts";
import { asTool, type Tool } from "../tool/definition.ts";
import type { OnFull } from "../worker/capacity.ts";
import { checkPlace, type Isolation, type Place } from "../worker/place.ts";
import { checkCompiles } from "../worker/requirements.ts";
import type { Agent } from "./agent.ts";
import type { FirstFiles } from "./first-files.ts";
import type { Mount } from "./mount-options.ts";

export interface KernelOptions {
  /** Cedar policies, as text or with entities and tests. Without a policy, every call is denied. */
  policy?: PolicySource;
  /**
   * Cedar text of forbids that rank above every policy: no policy that is loaded later, and no approval, can lift them.
   * Fixed for the kernel's life, and in the log with each policy.
   */
  constitution?: string;
  /** What guests may ask for, if the policy allows it. */
  tools?: readonly Tool<never>[];
  /** The log in this origin's IndexedDB: its name, and what to do where another tab writes it. */
  log?: LogOptions;
  /**
   * Asks a person where the policy says so: where it would allow a call only if `context.vak.approved` were true. The
   * guest waits, and its deadline stands still. Without it, such calls are denied.
   */
  onApproval?: OnApproval;
  /** ms that a person has to answer; no answer means no. 120,000 by default, at most 2^31 - 1. */
  approvalMs?: number;
  /** How much may be used, by name; see {@link Budget}. At most 32. */
  budgets?: { readonly [name: string]: Budget };
  /** Where Cedar's WebAssembly is, if not in `cedar.wasm` beside this script. */
  cedar?: WasmSource;
  /** The default for agents whose spawn does not choose; see {@link SpawnOptions}. */
  isolation?: Isolation;
  /** The default for agents whose spawn does not choose; see {@link SpawnOptions}. */
  workerUrl?: string | URL;
  /**
   * What happens to a run where the browser cannot hold another program (Chromium holds about 125 in a page at once):
   * `"wait"`, the default, until other runs have ended, while its deadline stands still; or `"fail"`, with a message
   * that says so. Where there are no others to wait for, it fails either way.
   */
  onFull?: OnFull;
}

/** A program: a response or the promise of one, where to fetch it, or its bytes. */
export type ProgramSource = Response | Promise<Response> | URL | string | BufferSource;

export interface SpawnOptions {
  /** What policies and the log call the agent; 1 to 64 characters. */
  name: string;
  /** A WASI preview 1 command, or a reactor. */
  program: ProgramSource;
  limits?: Partial<Limits>;
  /** The agent's first files, by path. */
  files?: FirstFiles;
  /**
   * Directories that are kept elsewhere, by path, such as `"data"`; `"/"` is everything outside the other mounts. At
   * most 16.
   */
  mounts?: Record<string, Mount>;
  /** Seeds the guest's random numbers; a whole number. Drawn at random by default, and in the log either way. */
  seed?: number;
  /** An agent of this kernel whose rights it shares: it never has more, and loses what the parent loses. */
  parent?: Agent;
  /** Names of the tools it may ask for, if the policy allows it; by default, all that the parent may ask for. */
  grants?: readonly string[];
  /**
   * The agent's labels from the beginning, besides those of its parent and its files: where another agent wrote its
   * program, for example.
   */
  labels?: readonly string[];
  isolation?: Isolation;
  /** Where you serve the file `vak/worker`; with isolation "page" only. */
  workerUrl?: string | URL;
  /** Cancels the spawn. */
  signal?: AbortSignal;
  /** Reports how far a large program has come. If it throws, the page's `error` event has the error. */
  onProgress?: (progress: SpawnProgress) => void;
}

/** How a recorded run is continued: its program and where it runs; `signal` stops it. */
export type ForkOptions = Pick<SpawnOptions, "program" | "isolation" | "workerUrl" | "signal" | "onProgress">;

export interface SpawnProgress {
  /** `load`: its bytes are arriving. `compile`: it is checked, metered and compiled. `ready`: it can be run. */
  phase: "load" | "compile" | "ready";
  /** Bytes received so far. */
  loaded: number;
  /** Bytes in all; null where the server did not say. */
  total: number | null;
}

/** A kernel's options, checked. */
export interface CheckedKernelOptions {
  tools: ReadonlyMap<string, Tool>;
  place: Place;
  people: Pick<KernelOptions, "onApproval" | "approvalMs">;
  onFull: OnFull;
}

/** @throws VakError `invalid-argument`, `invalid-tool`, `unsupported` */
export function checkKernel(options: KernelOptions): CheckedKernelOptions {
  const tools = checkTools(options.tools ?? []);
  const { policy, constitution, onFull = "wait" } = options;
  if (policy !== undefined) checkCompiles();
  const place = checkPlace(options);
  const people = checkPeople(options);
  if (onFull !== "wait" && onFull !== "fail") {
    throw new VakError("invalid-argument", 'onFull must be "wait" or "fail".');
  }
  if (constitution !== undefined && (typeof constitution !== "string" || policy === undefined)) {
    throw new VakError("invalid-argument", "A constitution is Cedar text that ranks above a policy: give both.");
  }
  return { tools, place, people, onFull };
}

function checkTools(given: readonly Tool<never>[]): ReadonlyMap<string, Tool> {
  const tools = new Map(given.map((tool) => [tool.name, asTool(tool as Tool)]));
  if (tools.size !== given.length) {
    throw new VakError("invalid-tool", "Two tools have the same name; rename one.");
  }
  const reserved = [...tools.keys()].find((name) => name.startsWith("vak."));
  if (reserved !== undefined) {
    throw new VakError(
      "invalid-tool",
      `A tool is called ${reserved}, but names that begin with vak. are reserved for the kernel; rename it.`,
    );
  }
  return tools;
}

function checkPeople({ onApproval, approvalMs }: KernelOptions): CheckedKernelOptions["people"] {
  if (onApproval !== undefined && typeof onApproval !== "function") {
    throw new VakError("invalid-argument", "onApproval must be a function (request, { signal }) => ({ approve, by }).");
  }
  if (approvalMs !== undefined && !(Number.isSafeInteger(approvalMs) && approvalMs >= 1 && approvalMs < 2 ** 31)) {
    throw new VakError("invalid-argument", "approvalMs must be a whole number of ms, from 1 to 2^31 - 1.");
  }
  return { ...(onApproval && { onApproval }), ...(approvalMs !== undefined && { approvalMs }) };
}

/** @throws VakError `invalid-argument` */
export function checkName(name: unknown): string {
  if (typeof name === "string" && /^[^\p{C}]{1,64}$/u.test(name)) return name;
  throw new VakError("invalid-argument", "An agent's name must have 1 to 64 printable characters.");
}

/** @throws VakError `invalid-argument` */
export function checkSeed(seed: number | undefined): number {
  if (seed === undefined) return crypto.getRandomValues(new Uint32Array(1))[0]!;
  if (Number.isSafeInteger(seed)) return seed;
  throw new VakError("invalid-argument", `The seed is ${seed}; give a whole number.`);
}
