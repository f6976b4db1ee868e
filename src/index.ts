/** The public entry `vak`: one ordered list of exports. */
export type { ExportProgress } from "./audit/bundle-files.ts";
export type { Entry } from "./audit/entry.ts";
export type { CallErrorCode } from "./broker/call.ts";
export type { Explanation, ProposedCall } from "./broker/explain.ts";
export type { Lease, LeaseOptions } from "./broker/lease.ts";
export type { ApprovalAnswer, ApprovalRequest, OnApproval } from "./broker/people.ts";
export { VakError, type VakErrorCode } from "./errors.ts";
export type { FileChange } from "./files/watch.ts";
export type { Agent, Declassification } from "./kernel/agent.ts";
export type { AgentFiles } from "./kernel/agent-files.ts";
export { createKernel } from "./kernel/create.ts";
export type { FirstFile, FirstFiles } from "./kernel/first-files.ts";
export type { Kernel } from "./kernel/kernel.ts";
export type { KernelLog } from "./kernel/kernel-log.ts";
export type { Mount } from "./kernel/mount-options.ts";
export type { ForkOptions, KernelOptions, ProgramSource, SpawnOptions } from "./kernel/options.ts";
export type { KernelPolicy } from "./kernel/policy.ts";
export type { Run } from "./kernel/run.ts";
export type { CallOptions, RunOptions } from "./kernel/run-options.ts";
export type { RunOutcome, RunResult, StopLimit, Usage } from "./kernel/run-result.ts";
export { DEFAULT_LIMITS, GiB, KiB, type LimitName, type Limits, MiB } from "./limits.ts";
export type {
  Checkpoint,
  EntriesOptions,
  EntryFilter,
  ExportOptions,
  LogOptions,
  LogRecord,
  LogStatus,
} from "./log/log.ts";
export type { Signer } from "./log/signer.ts";
export type { Budget, BudgetState, BudgetStates } from "./policy/budget.ts";
export type {
  DenyReason,
  ExplainedPolicy,
  LoadedPolicy,
  PolicyEntity,
  PolicyPack,
  PolicySource,
  PolicyTest,
} from "./policy/engine.ts";
export type { Change, Simulation } from "./policy/simulate.ts";
export type { FileStat, Trap } from "./protocol/messages.ts";
export type { ForkPoint } from "./protocol/trace.ts";
export type { Anchor, ProofSource } from "./tlog/anchor.ts";
export { defineTool, type Tool, type ToolContext, type ToolDefinition, type ToolLabels } from "./tool/definition.ts";
export type { OnFull } from "./worker/capacity.ts";
export type { Isolation } from "./worker/place.ts";
export type { Support, WasmFeature } from "./worker/probe.ts";
export { support } from "./worker/support.ts";
