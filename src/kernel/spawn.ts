/** Spawning: the steps from what the page asks for to an agent, and what undoes them when one fails. */
import type { AgentRef } from "../audit/vocabulary/common.ts";
import { clip } from "../base/clip.ts";
import { errorText } from "../base/error-text.ts";
import { isObject } from "../base/guards.ts";
import { lazy } from "../base/lazy.ts";
import { sha256HexOf } from "../base/sha256.ts";
import { aborted, checkSignal } from "../base/signal.ts";
import type { Broker } from "../broker/broker.ts";
import { VakError } from "../errors.ts";
import type { Mounts, Wanted } from "../files/mounts.ts";
import { checkLabels, joinLabels } from "../labels.ts";
import { type Limits, resolveLimits } from "../limits.ts";
import type { AuditLog } from "../log/log.ts";
import type { Admission, BootOptions, SeedFile, WaitMode } from "../protocol/messages.ts";
import type { ForkPoint } from "../protocol/trace.ts";
import type { Tool } from "../tool/definition.ts";
import type { OnFull } from "../worker/capacity.ts";
import { type Host, WorkerLost } from "../worker/host.ts";
import { checkPlace, type Place } from "../worker/place.ts";
import { checkCompiles, waitMode } from "../worker/requirements.ts";
import type { Spare } from "../worker/spare.ts";
import { Agent } from "./agent.ts";
import { MAX_REFUSAL } from "./bounds.ts";
import { checkFiles, type Flatten, flattener } from "./first-files.ts";
import { GuestChannel } from "./guest-channel.ts";
import { type Inheritance, inherit } from "./inheritance.ts";
import { checkMounts } from "./mount-options.ts";
import { checkName, checkSeed, type SpawnOptions } from "./options.ts";
import { compile, type Programs, readProgram } from "./program.ts";

/** What every spawn of a kernel shares. */
export interface SpawnContext {
  readonly log: AuditLog;
  readonly broker: Broker;
  readonly tools: ReadonlyMap<string, Tool>;
  /** Agents that are not closed. */
  readonly agents: Set<Agent>;
  readonly programs: Programs;
  readonly spare: Spare;
  readonly onFull: OnFull;
}

/** What the page asks for, checked. */
interface SpawnPlan {
  options: SpawnOptions;
  name: string;
  limits: Readonly<Limits>;
  seed: number;
  files: Record<string, SeedFile>;
  /** Those that the page gives, and those of the files. */
  labels: readonly string[];
  mounts: Wanted[];
  place: Place;
  wait: WaitMode;
}

/** What a spawn has begun so far. */
interface Begun {
  mounts?: Mounts;
  host?: Host;
  /** Ends the wait for the program, which the page may never deliver. */
  stopLoading?: () => void;
  /** The program's digest. */
  program?: string;
  agent?: Agent;
}

/**
 * @param recorded the mounts of a recorded agent, which have no source
 * @throws VakError as `Kernel.spawn`
 */
export async function spawn(
  shared: SpawnContext,
  options: SpawnOptions,
  recorded?: ForkPoint["mounts"],
): Promise<Agent> {
  const files = options.files ?? {};
  const mounts = options.mounts ?? {};
  const flatten = flattener([
    files,
    ...Object.values(mounts).flatMap((mount) => (isObject(mount) && "files" in mount ? [mount.files] : [])),
  ]);
  // Without an await in between, unless there is a tree of the shim: what the page does to its bytes afterwards is
  // too late.
  const plan = check(shared, options, flatten instanceof Promise ? await flatten : flatten);
  const { signal } = options;
  const begun: Begun = {};
  const giveUp = () => {
    begun.host?.end("the spawn was aborted");
    begun.stopLoading?.();
  };
  signal?.addEventListener("abort", giveUp, { once: true });
  try {
    return await make(shared, plan, begun, recorded);
  } catch (error) {
    throw await undo(shared, plan, begun, error);
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
}

/** @throws VakError these refusals are not logged: nothing has started yet */
function check({ agents, tools, spare }: SpawnContext, options: SpawnOptions, flatten: Flatten): SpawnPlan {
  const name = checkName(options.name);
  const limits = resolveLimits(options.limits);
  const seed = checkSeed(options.seed);
  // Only for the errors it throws: what it returns is determined again with the agent's entry.
  inherit(options, agents, tools);
  const given = checkLabels(options.labels ?? [], "an agent");
  const { files, labels } = checkFiles(options.files ?? {}, limits, given, flatten);
  const mounts = checkMounts(options.mounts ?? {}, files, limits, agents, flatten);
  const { isolation, workerUrl } = options;
  const place = isolation === undefined && workerUrl === undefined ? spare.place : checkPlace(options);
  checkCompiles();
  const wait = waitMode(place.isolation);
  checkSignal(options.signal);
  checkAborted(options.signal);
  return { options, name, limits, seed, files, labels, mounts, place, wait };
}

/** The steps, in order; `begun` records what to undo. */
async function make(
  shared: SpawnContext,
  plan: SpawnPlan,
  begun: Begun,
  recorded: ForkPoint["mounts"],
): Promise<Agent> {
  const { options, limits, seed, place, wait } = plan;
  const { signal } = options;
  const onProgress = options.onProgress && guarded(options.onProgress);
  const recording = lazy(import("./recorder.ts"));
  recording.catch(() => {});

  const mounts = await openMounts(plan, begun, recorded);
  checkAborted(signal);
  const files = withMounts(plan.files, mounts, limits);
  const labels = joinLabels([plan.labels, mounts?.labels ?? []]);

  const host = await takeWorker(shared, plan, begun);
  checkAborted(signal);

  // The worker starts and boots while the program is read and hashed.
  const channel = new GuestChannel(host, wait, limits.callBytes);
  const answers = channel.shared && { answers: channel.shared };
  const booted = boot(host, { wait, limits, files, mounts: mounts?.shapes ?? [], ...answers });
  booted.catch(() => {});
  const bytes = await new Promise<Uint8Array<ArrayBuffer>>((resolve, reject) => {
    begun.stopLoading = reject;
    readProgram(options, onProgress).then(resolve, reject);
  });
  const size = bytes.byteLength;
  const program = await sha256HexOf(bytes);
  begun.program = program;
  checkAborted(signal);

  const admitted = admit(shared, plan, host, bytes, program, labels);
  admitted.catch(() => {});
  await host.ready;
  await booted;
  onProgress?.({ phase: "compile", loaded: size, total: size });
  const { reactor, machine } = await admitted;

  const { Recorder } = await recording;
  const recorder = new Recorder();
  for (const [path, data] of Object.entries(files)) recorder.changes.add(path, data);
  mounts?.first.clear();
  checkAborted(signal);

  const ref: AgentRef = { name: plan.name, id: crypto.randomUUID(), program };
  const { rights, taint } = await logSpawn(shared, plan, ref, labels, machine, mounts);

  const { log, broker, onFull, agents } = shared;
  const agent = new Agent(
    {
      ...{ ref, limits, seed, reactor, host, channel, broker, rights, taint, leases: new Set() },
      ...{ log, onFull, recorder, machine, mounts },
    },
    (gone) => agents.delete(gone),
  );
  begun.agent = agent;
  agents.add(agent);
  checkAborted(signal);
  if (place === shared.spare.place) shared.spare.startSoon();
  onProgress?.({ phase: "ready", loaded: size, total: size });
  return agent;
}

/**
 * A callback of the page's that may throw: its error is reported as an event listener's is, and the spawn continues.
 */
function guarded<T>(callback: (value: T) => void): (value: T) => void {
  return (value) => {
    try {
      callback(value);
    } catch (error) {
      reportError(error);
    }
  };
}

/** Ends what was begun, and puts the refusal into the log. */
async function undo(
  { log }: SpawnContext,
  { name, options }: SpawnPlan,
  begun: Begun,
  error: unknown,
): Promise<VakError> {
  begun.host?.end("the spawn failed");
  await begun.mounts?.release();
  const refusal = options.signal?.aborted ? aborted("spawn", options.signal) : asRefusal(error);
  // The log has the agent already: it gets an end there, not a refusal.
  if (begun.agent) await begun.agent.close().catch(() => {});
  else if (refusal.code !== "log-unavailable" && refusal.code !== "closed") {
    const { program = null } = begun;
    await log.append({ type: "spawn-refused", name, program, message: clip(refusal.message, MAX_REFUSAL) });
  }
  return refusal;
}

async function openMounts(
  { mounts, limits }: SpawnPlan,
  begun: Begun,
  recorded: ForkPoint["mounts"],
): Promise<Mounts | undefined> {
  if (mounts.length === 0 && !recorded) return undefined;
  const { Mounts } = await lazy(import("../files/mounts.ts"));
  begun.mounts = recorded ? Mounts.recorded(recorded) : await Mounts.open(mounts, limits);
  return begun.mounts;
}

/** All files that the agent begins with; where the page and a mount both have one, the page's counts. */
function withMounts(given: Record<string, SeedFile>, mounts: Mounts | undefined, limits: Limits) {
  if (!mounts) return given;
  const files: Record<string, SeedFile> = { ...Object.fromEntries(mounts.first), ...given };
  let total = 0;
  for (const file of Object.values(files)) if (file instanceof Uint8Array) total += file.byteLength;
  if (total <= limits.fileBytes) return files;
  throw new VakError(
    "invalid-argument",
    `Files and mounts hold ${total} bytes together; limits.fileBytes is ${limits.fileBytes}.`,
  );
}

async function takeWorker({ spare }: SpawnContext, { place, limits }: SpawnPlan, begun: Begun): Promise<Host> {
  begun.host = await spare.take(place);
  begun.host.serve({
    limits,
    onMessage: (message) => begun.agent?.receive(message),
    onLost: (why) => begun.agent?.lose(why),
  });
  return begun.host;
}

async function boot(host: Host, options: BootOptions): Promise<void> {
  try {
    await host.call("boot", options);
  } catch (cause) {
    if (cause instanceof WorkerLost) throw cause;
    throw new VakError("invalid-argument", `The agent's files were refused: ${errorText(cause)}.`, { cause });
  }
}

/** A compiled module cannot pass into a sandboxed frame, nor out of one. */
function admit(
  { programs }: SpawnContext,
  { place, limits }: SpawnPlan,
  host: Host,
  bytes: Uint8Array<ArrayBuffer>,
  program: string,
  labels: readonly string[],
): Promise<Admission> {
  if (place.isolation === "frame") return compile(host, bytes, false);
  return programs.admit(host, bytes, program, limits, labels.length === 0);
}

/** Determines the rights and labels synchronously with the entry: nothing is passed on that was revoked meanwhile. */
async function logSpawn(
  { log, agents, tools }: SpawnContext,
  { options, limits, seed, place }: SpawnPlan,
  agent: AgentRef,
  labels: readonly string[],
  machine: string,
  mounts: Mounts | undefined,
): Promise<Inheritance> {
  const inheritance = inherit({ ...options, labels }, agents, tools);
  await log.append({
    type: "agent-spawn",
    ...{ agent, limits: { ...limits }, seed, isolation: place.isolation, machine },
    ...inheritance.logged,
    ...(mounts && { mounts: mounts.refs }),
  });
  return inheritance;
}

const asRefusal = (error: unknown): VakError =>
  error instanceof VakError
    ? error
    : new VakError("agent-lost", `The agent's worker ended during the spawn: ${errorText(error)}.`, {
        cause: error,
      });

function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted("spawn", signal);
}
