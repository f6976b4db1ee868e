import type { AgentRef } from "../audit/vocabulary/common.ts";
import { MAX_MOUNTS } from "../audit/vocabulary/mount.ts";
import type { Bundle } from "../audit/zip.ts";
import { canonicalJson } from "../base/canonical.ts";
import { lazy } from "../base/lazy.ts";
import { sha256HexOf } from "../base/sha256.ts";
import { clip } from "../base/utf8.ts";
import { Broker } from "../broker/broker.ts";
import type { Explanation, ProposedCall } from "../broker/explain.ts";
import { checkGrants, Rights } from "../broker/rights.ts";
import { Taint } from "../broker/taint.ts";
import { VakError } from "../errors.ts";
import type { Mounts, Wanted } from "../files/mounts.ts";
import { checkLabels, joinLabels } from "../labels.ts";
import { type Limits, resolveLimits } from "../limits.ts";
import { type AuditLog, openLog } from "../log/log.ts";
import type { Ledger } from "../policy/budget.ts";
import type { Simulation } from "../policy/decisions.ts";
import type { Decision, LoadedPolicy, PolicyEngine, PolicySource } from "../policy/engine.ts";
import { AnswerBuffer } from "../protocol/answer-buffer.ts";
import type { SeedFile } from "../protocol/messages.ts";
import type { ForkPoint } from "../protocol/trace.ts";
import { asTool, type Tool } from "../tool/definition.ts";
import { describeToPolicy } from "../tool/policy-view.ts";
import type { OnFull } from "../worker/capacity.ts";
import { Host, type Place, WorkerLost } from "../worker/host.ts";
import type { Support } from "../worker/support.ts";
import { Agent } from "./agent.ts";
import { checkPath, toBytes } from "./agent-files.ts";
import {
  checkFiles,
  checkName,
  checkPeople,
  checkPlace,
  checkSeed,
  type ForkOptions,
  type KernelOptions,
  type Mount,
  type SpawnOptions,
} from "./options.ts";
import { checkCompiles, compile, Programs, readProgram, waitMode } from "./program.ts";
import type { Run } from "./run.ts";

/** The log, as the page may use it: only the kernel writes. */
export type KernelLog = Pick<
  AuditLog,
  | "name"
  | "origin"
  | "vkey"
  | "size"
  | "failed"
  | "writing"
  | "writable"
  | "status"
  | "checkpoint"
  | "rotate"
  | "export"
  | "exportStream"
  | "exportTo"
  | "entries"
  | "value"
  | "erase"
  | "prove"
  | "consistency"
>;

/** The policy in force. */
export interface KernelPolicy {
  readonly loaded: LoadedPolicy | undefined;
  /**
   * Replaces the policy, once the log has the new one. On any error the old one stays. A call that is under way goes on
   * under the policy that decided it.
   *
   * @throws VakError `invalid-policy`, also when a test of the bundle fails; `policy-unavailable`, `log-unavailable`
   */
  load(policy: PolicySource): Promise<LoadedPolicy>;
  /**
   * What would be decided about a call, and why. Nothing is done, and nothing is logged.
   *
   * @example
   * const { decision, reason, because } = await kernel.policy.explain({ agent, tool: "add", input: { a: 1, b: 2 } });
   */
  explain(call: ProposedCall): Promise<Explanation>;
  /**
   * What another policy would have decided about the calls of a log, each with what the kernel knew then, by this kernel's
   * tools and budgets. Nothing is done, and nothing is logged.
   *
   * @param log this kernel's, or an exported one
   * @throws VakError `invalid-policy`, `invalid-bundle`, `unsupported` when the kernel has no policy
   * @example
   * const { changed } = await kernel.policy.simulate(kernel.log, stricter);
   */
  simulate(log: Pick<KernelLog, "export"> | Blob | Bundle, policy: PolicySource): Promise<Simulation>;
}

/**
 * Makes a kernel: opens its log, loads its policy.
 *
 * @throws VakError `invalid-argument`, `invalid-policy`, `invalid-tool`, `policy-unavailable`, `log-in-use`, `log-corrupt`,
 *   `log-unavailable`
 * @example
 * await using kernel = await createKernel({
 *   policy: `permit (principal, action == Action::"call:add", resource) when { context.input.a < 100 };`,
 *   tools: [add],
 * });
 */
export async function createKernel(options: KernelOptions = {}): Promise<Kernel> {
  const tools = new Map((options.tools ?? []).map((tool) => [tool.name, asTool(tool as Tool)]));
  if (tools.size !== (options.tools ?? []).length) {
    throw new VakError("invalid-tool", "Two tools have the same name; rename one.");
  }
  const reserved = [...tools.keys()].find((name) => name.startsWith("vak."));
  if (reserved !== undefined) {
    throw new VakError(
      "invalid-tool",
      `A tool is called ${reserved}; names that begin with vak. are the kernel's own.`,
    );
  }
  const { policy: source } = options;
  if (source !== undefined) checkCompiles();
  const place = checkPlace(options);
  const people = checkPeople(options);
  const { onFull = "wait" } = options;
  if (onFull !== "wait" && onFull !== "fail") throw new VakError("invalid-argument", 'onFull is "wait" or "fail".');
  const { constitution } = options;
  if (constitution !== undefined && (typeof constitution !== "string" || source === undefined)) {
    throw new VakError("invalid-argument", "A constitution is Cedar text, and stands above a policy: give both.");
  }
  // Who brings a policy means to spawn: the first worker starts while the log is opened and the policy loaded.
  const spare = source === undefined ? undefined : startAhead(place);
  let log: AuditLog | undefined;
  try {
    log = await openLog(options.log ?? {});
    const ledger = options.budgets && new (await import("../policy/budget.ts")).Ledger(options.budgets);
    const policy = source === undefined ? DENY_ALL : await loadEngine([...tools.values()], ledger, options);
    const kernel = new Kernel(tools, policy, log, place, spare, people, ledger, onFull);
    if (source === undefined) return kernel;
    if (log.writing) await kernel.policy.load(source);
    // Until another tab leaves the log to this one, there is nothing to decide; a policy that is refused then denies all.
    else log.writable.then(() => kernel.policy.load(source)).catch(() => {});
    return kernel;
  } catch (error) {
    (await spare)?.end("the kernel was not made");
    await log?.close();
    throw error;
  }
}

/** ms after a spawn that the next worker is started: when the agent that was asked for is under way, not in its way. */
const AHEAD_MS = 100;

/**
 * Finds out what this page can do in this browser. It starts a worker in each isolation, and ends it; where the page's
 * Content Security Policy refuses one, that is reported as a violation.
 *
 * @example
 * const { agents, isolation } = await support();
 * const kernel = agents && (await createKernel({ policy, isolation: isolation.frame ? "frame" : "opaque" }));
 */
export async function support(): Promise<Support> {
  const { findSupport } = await import("../worker/support.ts");
  return findSupport();
}

/** A worker for an agent to come. Why it does not start is told when one is needed. */
const startAhead = (place: Place): Promise<Host | undefined> => Host.start(place).catch(() => undefined);

/** What of a refused policy there is to take the digest of. */
function textOf(source: unknown): string {
  if (typeof source === "string") return source;
  try {
    return canonicalJson(source);
  } catch {
    return "";
  }
}

async function loadEngine(
  tools: Tool[],
  ledger: Ledger | undefined,
  { cedar: wasm, constitution }: KernelOptions,
): Promise<PolicyEngine> {
  const { createCedarEngine } = await import("../policy/cedar.ts");
  const budgets = ledger && { budgets: Object.fromEntries(ledger.budgets) };
  const above = constitution !== undefined && { constitution };
  return createCedarEngine({
    tools: tools.map(describeToPolicy),
    ...budgets,
    ...above,
    ...(wasm !== undefined && { wasm }),
  });
}

const DENIED: Decision = {
  decision: "deny",
  policies: [],
  reason: "policy-unavailable",
  errors: [],
  policyDigest: "",
};

async function simulateOver(
  engine: PolicyEngine,
  log: Pick<KernelLog, "export"> | Blob | Bundle,
  source: PolicySource,
): Promise<Simulation> {
  const decide = await engine.try(source);
  const [{ simulate }, { openBundle }] = await Promise.all([
    import("../policy/decisions.ts"),
    import("../audit/zip.ts"),
  ]);
  const exported = "export" in log ? await log.export() : log;
  return simulate(exported instanceof Blob ? await openBundle(exported) : exported, decide);
}

const noPolicy = (): never => {
  throw new VakError("unsupported", "This kernel was made without a policy; pass one to createKernel.");
};

const DENY_ALL: PolicyEngine = {
  loaded: undefined,
  load: noPolicy,
  try: async () => noPolicy(),
  lease: async () => noPolicy(),
  decide: async () => DENIED,
  callable: async () => new Set(),
  explain: async () => ({ ...DENIED, because: [] }),
  close: () => {},
};

/** The authority: it owns policy, log, tools and agents. Made by {@link createKernel}. */
export class Kernel {
  readonly policy: KernelPolicy;
  private readonly auditLog: AuditLog;
  private readonly engine: PolicyEngine;
  private readonly broker: Broker;
  private readonly tools: ReadonlyMap<string, Tool>;
  private readonly agents = new Set<Agent>();
  /** Compiled programs, by digest and by the limits that are compiled in; shared by agents. */
  private readonly programs = new Programs();
  /** Where agents run whose spawn does not say. */
  private readonly place: Place;
  /** A worker there that nobody has used, started ahead, because that is most of what a spawn takes. */
  private spare: Promise<Host | undefined> | undefined;
  private readonly onFull: OnFull;
  private closing: Promise<void> | undefined;

  /** @internal */
  constructor(
    tools: ReadonlyMap<string, Tool>,
    engine: PolicyEngine,
    log: AuditLog,
    place: Place,
    spare: Promise<Host | undefined> | undefined,
    people: Pick<KernelOptions, "onApproval" | "approvalMs">,
    ledger: Ledger | undefined,
    onFull: OnFull,
  ) {
    this.onFull = onFull;
    this.tools = tools;
    this.place = place;
    this.spare = spare;
    this.engine = engine;
    this.auditLog = log;
    this.broker = new Broker(tools, engine, log, people, ledger);
    this.policy = {
      get loaded() {
        return engine.loaded;
      },
      load: (source) => this.loadPolicy(source),
      explain: (call) => this.broker.explain(call),
      simulate: (log, source) => simulateOver(engine, log, source),
    };
    log.failed.then((error) => {
      if (error.code !== "closed") for (const agent of this.agents) agent.logFailed();
    });
  }

  /** The log. */
  get log(): KernelLog {
    return this.auditLog;
  }

  /**
   * Makes an agent of a program: admits it, compiles it, starts a worker for it.
   *
   * @throws VakError `invalid-module` naming what is not admitted and where, `invalid-limit`, `invalid-argument`,
   *   `unsupported`, `aborted`, `log-unavailable`, `closed`; for its mounts `files-denied`, `files-in-use`,
   *   `files-unavailable`
   */
  async spawn(options: SpawnOptions): Promise<Agent> {
    return this.make(options);
  }

  /** @param recorded the mounts of a recorded agent, which nothing keeps any more */
  private async make(options: SpawnOptions, recorded?: ForkPoint["mounts"]): Promise<Agent> {
    // A fetch that fails is answered for here, also where the spawn is refused for something else.
    if (options.program instanceof Promise) options.program.catch(() => {});
    if (this.closing) throw new VakError("closed", "The kernel was closed; make another.");
    if (!this.auditLog.writing) await this.auditLog.checkpoint(); // throws what keeps it from being written
    const name = checkName(options.name);
    const limits = resolveLimits(options.limits);
    const seed = checkSeed(options.seed);
    this.handOn(options);
    const { files: given, labels: known } = checkFiles(
      options.files ?? {},
      limits,
      checkLabels(options.labels ?? [], "an agent"),
    );
    const wanted = this.checkMounts(options, given, limits);
    const place = options.isolation === undefined && options.workerUrl === undefined ? this.place : checkPlace(options);
    const { isolation } = place;
    checkCompiles();
    const wait = waitMode(isolation);
    const { signal } = options;
    checkAborted(signal);

    let program: string | null = null;
    let host: Host | undefined;
    let agent: Agent | undefined;
    let mounts: Mounts | undefined;
    const giveUp = () => host?.end("the spawn was aborted");
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      const { onProgress } = options;
      const recording = lazy(import("./recorder.ts"));
      recording.catch(() => {});
      if (wanted.length > 0 || recorded) {
        const { Mounts } = await lazy(import("../files/mounts.ts"));
        mounts = recorded ? Mounts.recorded(recorded) : await Mounts.open(wanted, limits);
        checkAborted(signal);
      }
      const files = withMounts(given, mounts, limits);
      const labels = joinLabels(known, mounts?.labels ?? []);
      host = await this.takeHost(place);
      host.serve({
        limits,
        onMessage: (message) => agent?.receive(message),
        onLost: (why) => agent?.lose(why),
      });
      checkAborted(signal);
      const answers =
        wait === "atomics" ? new SharedArrayBuffer(AnswerBuffer.HEADER_BYTES + align(limits.callBytes)) : undefined;
      // The worker starts and boots while the program is read and hashed.
      const booted = boot(host, { wait, limits, files, mounts: mounts?.shapes ?? [], ...(answers && { answers }) });
      booted.catch(() => {});
      const bytes = await readProgram(options.program, onProgress);
      const size = bytes.byteLength;
      program = await sha256HexOf(bytes);
      checkAborted(signal);
      // No compiled module passes into a sandboxed frame, or out of one.
      const admitted =
        isolation === "frame"
          ? compile(host, bytes, false)
          : this.programs.admit(host, bytes, program, limits, labels.length === 0);
      admitted.catch(() => {});
      await host.ready;
      await booted;
      onProgress?.({ phase: "compile", loaded: size, total: size });
      const { reactor, machine } = await admitted;
      const { Recorder } = await recording;
      const recorder = new Recorder();
      for (const [path, data] of Object.entries(files)) recorder.change(path, data);
      mounts?.first.clear();
      checkAborted(signal);
      const ref: AgentRef = { name, id: crypto.randomUUID(), program };
      // In one turn with the entry: nothing is handed on that was taken away meanwhile.
      const { rights, held, handed } = this.handOn({ ...options, labels });
      const spawned = { type: "agent-spawn", agent: ref, limits: { ...limits }, seed, isolation, machine } as const;
      await this.auditLog.append({ ...spawned, ...handed, ...(mounts && { mounts: mounts.refs }) });
      agent = new Agent({
        ref,
        limits,
        seed,
        reactor,
        host,
        broker: this.broker,
        rights,
        labels: held,
        leases: new Set(),
        log: this.auditLog,
        answers,
        onFull: this.onFull,
        recorder,
        machine,
        mounts,
        onClose: (gone) => this.agents.delete(gone),
      });
      this.agents.add(agent);
      if (place === this.place) setTimeout(() => this.startSpare(), AHEAD_MS);
      onProgress?.({ phase: "ready", loaded: size, total: size });
      return agent;
    } catch (error) {
      host?.end("the agent was not made");
      await mounts?.release();
      const refusal = signal?.aborted ? aborted(signal) : asRefusal(error);
      if (refusal.code !== "log-unavailable" && refusal.code !== "closed") {
        await this.auditLog.append({
          type: "spawn-refused",
          name,
          program,
          message: clip(refusal.message, MAX_MESSAGE),
        });
      }
      throw refusal;
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
  }

  /**
   * Goes on with a recorded run from one of its calls, as a run of a new agent: the program gets the recorded answers up to
   * there, and from that call on it asks this kernel: its policy, its tools, its log. The agent has the recorded name,
   * limits and seed. The log says where it comes from, and has what the program asks from there on.
   *
   * @param point made by `forkPoint` of `vak/replay`
   * @throws VakError as {@link spawn}; `invalid-argument` when the program is not the recorded one; `unsupported` when it
   *   was recorded with another version of the meter or sandbox; `invalid-bundle`
   * @example
   * const point = await forkPoint(bundle, 1, { call: 7 });
   * const { agent, run } = await kernel.fork(point, { program });
   */
  async fork(point: ForkPoint, options: ForkOptions): Promise<{ agent: Agent; run: Run }> {
    const { name, seed, limits, program, machine, mounts } = point;
    const labels = checkLabels(point.labels, "what is gone on with");
    const agent = await this.make({ ...options, name, seed, limits: limits as Partial<Limits>, labels }, mounts);
    const close = () => void agent.close();
    options.signal?.addEventListener("abort", close, { once: true });
    try {
      if (agent.program !== program) {
        throw new VakError("invalid-argument", `The program is another one than was recorded, which is ${program}.`);
      }
      if (agent.machine !== machine) {
        const ours = `this version of vak executes ${agent.machine}`;
        throw new VakError("unsupported", `The run was recorded on the machine ${machine}; ${ours}.`);
      }
      return { agent, run: await agent.resume(point, options.signal) };
    } catch (error) {
      await agent.close();
      throw error;
    } finally {
      options.signal?.removeEventListener("abort", close);
    }
  }

  /**
   * Closes every agent, then the log. What was acknowledged stays.
   *
   * @throws VakError as {@link Agent.close}, once all is closed
   */
  close(): Promise<void> {
    this.closing ??= this.shut();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async shut(): Promise<void> {
    (await this.spare)?.end("the kernel was closed");
    const closed = await Promise.allSettled([...this.agents].map((agent) => agent.close()));
    this.engine.close();
    await this.auditLog.close();
    for (const it of closed) if (it.status === "rejected") throw it.reason;
  }

  private async loadPolicy(source: PolicySource): Promise<LoadedPolicy> {
    try {
      // The log has the policy before any decision can be made by it.
      return await this.engine.load(source, async ({ policies, text, base }) => {
        await this.auditLog.append({ type: "policy-load", policies: [...policies] }, { policy: text, base });
      });
    } catch (error) {
      if (error instanceof VakError && error.code === "invalid-policy") {
        const textDigest = await sha256HexOf(toBytes(textOf(source)));
        await this.auditLog.append({ type: "policy-refused", textDigest, message: clip(error.message, MAX_MESSAGE) });
      }
      throw error;
    }
  }

  /** The rights and the labels of an agent to be, and what its entry says of them. */
  private handOn({ parent, grants, labels = [] }: Pick<SpawnOptions, "parent" | "grants" | "labels">) {
    if (parent !== undefined && !this.agents.has(parent)) {
      throw new VakError("invalid-argument", "The parent is not an agent of this kernel that lives.");
    }
    const from = parent?.rights ?? new Rights();
    if (from.revoked)
      throw new VakError("invalid-argument", "The parent's rights were taken away; it has none to hand on.");
    const tools = grants && checkGrants(grants, from, this.tools);
    const held = new Taint(joinLabels(parent?.labels ?? [], labels));
    const handed = {
      ...(parent && { parent: parent.id }),
      ...(tools && { grants: tools }),
      ...(held.list.length > 0 && { labels: [...held.list] }),
    };
    return { rights: new Rights(parent?.rights, tools), held, handed };
  }

  /** @throws VakError `invalid-argument` */
  private checkMounts({ mounts = {} }: SpawnOptions, given: Record<string, SeedFile>, limits: Limits): Wanted[] {
    const wanted = Object.entries(mounts).map(([at, mount]) => this.checkMount(at, mount, limits));
    const paths = wanted.map(({ path }) => path).filter((path) => path !== "");
    const invalid = (why: string) => new VakError("invalid-argument", `mounts: ${why}.`);
    if (wanted.length > MAX_MOUNTS) throw invalid(`an agent has at most ${MAX_MOUNTS}`);
    for (const path of paths) {
      const clash = [...paths, ...Object.keys(given)].filter((it) => `${it}/`.startsWith(`${path}/`));
      if (clash.length > 1) throw invalid(`${clash.map((it) => `/${it}`).join(" and ")} are in each other`);
    }
    // Those above come first, so that what they hold is there when the others are made.
    return wanted.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  private checkMount(at: string, mount: Mount, limits: Limits): Wanted {
    const invalid = (why: string) => new VakError("invalid-argument", `The mount ${JSON.stringify(at)}: ${why}.`);
    const path = at === "/" ? "" : checkPath(at);
    if (typeof mount !== "object" || mount === null) throw invalid("it is an object");
    const { readOnly, quotaBytes = limits.fileBytes } = mount;
    const labels = checkLabels(mount.labels ?? [], `the mount ${JSON.stringify(at)}`);
    if (readOnly !== undefined && typeof readOnly !== "boolean") throw invalid("readOnly is true or false");
    if (!Number.isSafeInteger(quotaBytes) || quotaBytes < 1 || quotaBytes > limits.fileBytes) {
      throw invalid(`quotaBytes is a whole number from 1 to limits.fileBytes, which is ${limits.fileBytes}`);
    }
    const kinds = ["files", "directory", "persist", "agent"].filter((kind) => kind in mount);
    if (kinds.length !== 1) throw invalid("say one of files, directory, persist and agent");
    const common = { path, readOnly: readOnly ?? false, quotaBytes, labels };
    if ("files" in mount) {
      const given = checkFiles(mount.files, limits, labels);
      return { ...common, labels: given.labels, from: { files: given.files } };
    }
    if ("persist" in mount) return { ...common, from: { persist: mount.persist } };
    if ("directory" in mount) {
      const { directory } = mount;
      if (directory?.kind === "directory") return { ...common, from: { directory } };
      throw invalid("directory is a FileSystemDirectoryHandle");
    }
    const { agent, folder = "" } = mount;
    if (!this.agents.has(agent)) throw invalid("agent is an agent of this kernel that lives");
    if (readOnly === false) throw invalid("another agent's folder is a copy, and read-only");
    const below = folder === "" || folder === "/" ? "" : checkPath(folder);
    const tree = (detail: "digests" | "bytes") => agent.files.tree(below, detail);
    return { ...common, readOnly: true, from: { agent: { id: agent.id, tree, labels: () => agent.labels } } };
  }

  private async takeHost(place: Place): Promise<Host> {
    if (place !== this.place) return Host.start(place);
    const { spare } = this;
    this.spare = undefined;
    const host = await spare;
    return host?.alive ? host : Host.start(place);
  }

  private startSpare(): void {
    if (!this.closing) this.spare ??= startAhead(this.place);
  }
}

/** Longest message of a refusal in the log, UTF-16 units. */
const MAX_MESSAGE = 2000;

async function boot(host: Host, options: Parameters<typeof host.call<"boot">>[1]): Promise<void> {
  try {
    await host.call("boot", options);
  } catch (cause) {
    if (cause instanceof WorkerLost) throw cause;
    throw new VakError("invalid-argument", `The agent's files were refused: ${(cause as Error).message}.`, { cause });
  }
}

const align = (bytes: number): number => Math.ceil(bytes / 8) * 8;

const asRefusal = (error: unknown): VakError =>
  error instanceof VakError
    ? error
    : new VakError("agent-lost", `The agent's worker ended while it was being made: ${(error as Error).message}.`, {
        cause: error,
      });

const aborted = (signal: AbortSignal): VakError =>
  new VakError("aborted", "The spawn was aborted.", { cause: signal.reason });

function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(signal);
}

/** All that is in an agent's files to begin with. */
function withMounts(given: Record<string, SeedFile>, mounts: Mounts | undefined, limits: Limits) {
  if (!mounts) return given;
  // What the page gives comes last, over what is kept.
  const files: Record<string, SeedFile> = { ...Object.fromEntries(mounts.first), ...given };
  let total = 0;
  for (const file of Object.values(files)) if (file instanceof Uint8Array) total += file.byteLength;
  if (total <= limits.fileBytes) return files;
  throw new VakError(
    "invalid-argument",
    `Files and mounts hold ${total} bytes together; limits.fileBytes is ${limits.fileBytes}.`,
  );
}
