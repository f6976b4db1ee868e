/**
 * Records runs in Node: the product's sandbox and the product's log, and between them, in place of the kernel, as
 * little as will do. Calls are answered by a function; another thread stops a run.
 */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { commitLarge, commitValue } from "../../../src/audit/value.ts";
import type { AgentRef } from "../../../src/audit/vocabulary/common.ts";
import { canonicalBytes, canonicalJson } from "../../../src/base/canonical.ts";
import { type Limits, resolveLimits } from "../../../src/limits.ts";
import { makeBase } from "../../../src/policy/cedar/base.ts";
import { callDigest } from "../../../src/policy/digest.ts";
import { AnswerBuffer } from "../../../src/protocol/answer-buffer.ts";
import type { WorkerMessage } from "../../../src/protocol/messages.ts";
import type { Change, Part, RecordedCall } from "../../../src/protocol/trace.ts";
import { inputToJson, partToJson, traceToJson } from "../../../src/protocol/trace-json.ts";
import { compile, MACHINE } from "../../../src/sandbox/admission.ts";
import { Bridge } from "../../../src/sandbox/bridge.ts";
import { Volume } from "../../../src/sandbox/fs/volume.ts";
import { type Loaded, load } from "../../../src/sandbox/instance.ts";
import { Runner } from "../../../src/sandbox/runner.ts";
import { logOpen, MemoryLog, POLICY, type Step } from "../audit/memory-log.ts";

export interface RunSpec {
  args?: string[];
  env?: Record<string, string>;
  stdin?: string;
  /** For a reactor, whose function is the first argument: its input, as JSON. */
  call?: string;
  startTime?: number;
  clock?: "real";
  /** Changes to files before the run. */
  changes?: Omit<Change, "at">[];
  /** Whether a part of the trace is stored at a call: while it waits for its answer, or once it has it. */
  partAt?: (call: number) => "waiting" | "answered" | undefined;
  /** The call during which the page goes away: the log has its intent, and nothing after it. */
  goneAt?: number;
  /** Asks the run to stop; called with what there is to set. */
  stopping?: (state: Int32Array) => void;
}

type Answer = { ok: unknown } | { error: { code: string; message: string } } | { denied: string };

export interface AgentSpec {
  program: Uint8Array<ArrayBuffer>;
  limits?: Partial<Limits>;
  seed?: number;
  runs: RunSpec[];
  answer?: (tool: string, input: { [field: string]: unknown }) => Answer;
}

/** What the policy sees of the tool. */
const ADD = {
  name: "add",
  inputSchema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } }, required: ["a", "b"] },
};

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The steps of the log in which these agents live. */
export async function recordSteps(agents: AgentSpec[]): Promise<Step[]> {
  const policyDigest = bytesToHex(sha256(encoder.encode(POLICY)));
  const { text: base } = makeBase([ADD]);
  const steps: Step[] = [
    await logOpen(),
    [
      { type: "policy-load", policies: ["policy0"] },
      { policy: POLICY, base },
    ],
  ];
  for (const [i, { program, seed = 1, runs, answer = () => ({ ok: null }), ...spec }] of agents.entries()) {
    const limits = resolveLimits(spec.limits);
    const agent: AgentRef = { name: "guest", id: `agent-${i}`, program: bytesToHex(sha256(program)) };
    steps.push([{ type: "agent-spawn", agent, limits: { ...limits }, seed, isolation: "opaque", machine: MACHINE }]);
    const loaded = load(await compile(program, limits));
    const volume = new Volume(limits);
    const runner = new Runner(volume);
    for (const [n, run] of runs.entries()) {
      await recordRun({ agent, limits, seed, loaded, volume, runner, policyDigest, steps, answer }, n + 1, run);
    }
  }
  return steps;
}

interface Living {
  agent: AgentRef;
  limits: Limits;
  seed: number;
  loaded: Loaded;
  volume: Volume;
  runner: Runner;
  policyDigest: string;
  steps: Step[];
  answer: NonNullable<AgentSpec["answer"]>;
}

async function recordRun(living: Living, number: number, spec: RunSpec): Promise<void> {
  const { agent, limits, seed, loaded, volume, runner, policyDigest, steps, answer } = living;
  const { args = [], env = {}, startTime = 946_684_800_000, changes = [] } = spec;
  const clock = spec.clock && { clock: spec.clock };
  const stdin = encoder.encode(spec.call ?? spec.stdin);
  const run = `${agent.id}/${number}`;
  for (const { path, data } of changes) {
    if (data) volume.seed(path, data);
    else volume.remove(path);
  }
  steps.push([
    { type: "run-start", agent, run, args, env: Object.keys(env), startTime, ...clock },
    { commitment: await commitLarge("input", inputToJson({ env, stdin })) },
  ]);
  const answers = new SharedArrayBuffer(AnswerBuffer.HEADER_BYTES + limits.callBytes);
  const state = new Int32Array(answers, 0, 3);
  const calls: RecordedCall[] = [];
  let held: Part = { before: [], changes: changes.map((change) => ({ ...change, at: null })), calls: [], readings: [] };
  let parts = 0;
  let gone = false;
  const takeHeld = (): Part => {
    const taken = held;
    held = { before: [], changes: [], calls: [], readings: [] };
    return taken;
  };
  const storePart = (fuel: number) => {
    const commitment = commitValue("trace", partToJson({ ...takeHeld(), fuel }));
    steps.push([{ type: "trace", agent, run, part: ++parts }, { commitment }]);
  };
  const hashes = { 1: sha256.create(), 2: sha256.create() };
  const bytes = { 1: 0, 2: 0 };

  /** Does what the broker would: it logs the request, and answers the guest that waits. */
  const post = (message: WorkerMessage) => {
    if (message.vak === "output") {
      hashes[message.fd].update(message.bytes);
      bytes[message.fd] += message.bytes.byteLength;
    }
    if (gone) return;
    if (message.vak === "met") held.readings.push(...message.readings);
    if (message.vak !== "call") return;
    const call: RecordedCall = { fuel: message.fuel, requestBytes: message.bytes.byteLength, answer: null };
    calls.push(call);
    held.calls.push(call);
    if (spec.partAt?.(message.call) === "waiting") storePart(message.fuel);
    const { tool, input = {} } = parsed(message.bytes);
    const position = { agent, run, call: message.call };
    const commitment = commitValue("input", input);
    const facts = { now: startTime, calls: message.call - 1, approved: false };
    const bound = callDigest(agent, tool, commitment.digest, policyDigest);
    const about = { ...position, action: `call:${tool}`, resource: tool, callDigest: bound, policyDigest, facts };
    let sent: string;
    let kept: number | string;
    const answered = answer(tool, input);
    if (tool === "") {
      const why = { reason: "malformed", policies: [], errors: [], callDigest: null };
      steps.push([{ type: "denial", ...about, decision: "deny", ...why }]);
      kept = sent = '{"error":{"code":"malformed","message":"The request is not JSON in UTF-8."}}';
    } else if ("denied" in answered) {
      const why = { reason: "no-permit", policies: [], errors: [] };
      steps.push([{ type: "denial", ...about, decision: "deny", ...why }, { commitment }]);
      kept = sent = JSON.stringify({ error: { code: "denied", message: answered.denied } });
    } else {
      const intentOf =
        steps.push([{ type: "intent", ...about, decision: "allow", policies: ["policy0"] }, { commitment }]) - 1;
      const outcome = { type: "outcome", ...position, intentOf } as const;
      if (message.call === spec.goneAt) {
        gone = true;
        steps.push([{ ...outcome, status: "unknown", error: null }]);
        steps.push([{ type: "recovery", intents: 1, runs: 1, agents: 1 }]);
        Atomics.store(state, AnswerBuffer.STATE, AnswerBuffer.STOPPED);
        return;
      }
      const [status, error, output] =
        "ok" in answered ? (["ok", null, answered.ok] as const) : (["error", answered.error.code, answered] as const);
      kept = steps.push([{ ...outcome, status, error }, { output }]) - 1;
      sent = "ok" in answered ? `{"ok":${canonicalJson(answered.ok)}}` : JSON.stringify(answered);
    }
    if (held.calls.length > 0) call.answer = kept;
    else held.answer = kept;
    if (spec.partAt?.(message.call) === "answered") storePart(message.fuel);
    const encoded = encoder.encode(sent);
    new Uint8Array(answers, AnswerBuffer.HEADER_BYTES).set(encoded);
    state[AnswerBuffer.LENGTH] = encoded.byteLength;
    Atomics.compareExchange(state, AnswerBuffer.STATE, AnswerBuffer.IDLE, AnswerBuffer.ANSWERED);
  };

  const bridge = new Bridge(post, "atomics", answers);
  bridge.begin({ run: number });
  spec.stopping?.(state);
  const call =
    spec.call === undefined ? { stdin } : { stdin: new Uint8Array(), call: { name: args[0]!, input: stdin } };
  const request = { run: number, args: [agent.name, ...args], env, seed, startTime, ...clock, ...call };
  const ended = await runner.execute(loaded, request, limits, bridge, post);
  bridge.report();
  if (gone) return;
  const { outcome, fuel, memoryBytes, fileBytes, files } = ended;
  const stopped = outcome.status === "stopped" ? (outcome.limit === "asked" ? "aborted" : outcome.limit) : null;
  const stream = (fd: 1 | 2) => ({ bytes: bytes[fd], digest: bytesToHex(hashes[fd].digest()) });
  const [stdout, stderr] = [stream(1), stream(2)];
  const trace = { ...takeHeld(), stop: bridge.stop, files, stdout, stderr };
  const judged = stopped
    ? { status: "stopped", limit: stopped }
    : outcome.status === "trapped"
      ? { status: "trapped", trap: outcome.trap }
      : outcome.status === "exited" && outcome.value
        ? { ...outcome, value: bytesToHex(sha256(outcome.value)) }
        : outcome;
  const shown = { files, outcome: judged, stderr: stderr.digest, stdout: stdout.digest };
  steps.push([
    {
      type: "run-end",
      agent,
      run,
      status: outcome.status,
      exitCode: outcome.status === "exited" ? outcome.exitCode : null,
      trap: outcome.status === "trapped" ? outcome.trap : null,
      limit: stopped,
      message: null,
      usage: { fuel, memoryBytes, fileBytes, outputBytes: bytes[1] + bytes[2], calls: calls.length, wallMs: 1 },
      digest: bytesToHex(sha256(canonicalBytes(shown))),
      untraced: null,
    },
    { commitment: await commitLarge("trace", traceToJson(trace)) },
  ]);
}

function parsed(request: Uint8Array): { tool: string; input?: { [field: string]: unknown } } {
  try {
    return JSON.parse(decoder.decode(request));
  } catch {
    return { tool: "" };
  }
}

/** Signs the steps, and gives the bundle. */
export async function bundleOf(steps: Step[]): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const log = new MemoryLog();
  for (const step of steps) log.append(...step);
  log.commit();
  return log.bundle();
}

export const record = async (agents: AgentSpec[]) => bundleOf(await recordSteps(agents));
