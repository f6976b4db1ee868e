export type { ExportProgress } from "./audit/bundle.ts";
export type { Entry } from "./audit/entry.ts";
export type { CallErrorCode } from "./broker/call.ts";
export type { Explanation, ProposedCall } from "./broker/explain.ts";
export type { Lease, LeaseOptions } from "./broker/lease.ts";
export type { ApprovalAnswer, ApprovalRequest, OnApproval } from "./broker/people.ts";
export { VakError, type VakErrorCode } from "./errors.ts";
export type { FileChange } from "./files/watch.ts";
export type { Agent, Declassification } from "./kernel/agent.ts";
export type { AgentFiles } from "./kernel/agent-files.ts";
export { createKernel, type Kernel, type KernelLog, type KernelPolicy, support } from "./kernel/kernel.ts";
export type {
  FirstFile,
  FirstFiles,
  ForkOptions,
  KernelOptions,
  Mount,
  ProgramSource,
  SpawnOptions,
} from "./kernel/options.ts";
export type { CallOptions, Run, RunOptions, RunOutcome, RunResult, StopLimit, Usage } from "./kernel/run.ts";
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
export type { Change, Simulation } from "./policy/decisions.ts";
export type {
  DenyReason,
  ExplainedPolicy,
  LoadedPolicy,
  PolicyBundle,
  PolicyEntity,
  PolicySource,
  PolicyTest,
} from "./policy/engine.ts";
export type { FileStat, Trap } from "./protocol/messages.ts";
export type { ForkPoint } from "./protocol/trace.ts";
export type { Anchor, ProofSource } from "./tlog/anchor.ts";
export { defineTool, type Tool, type ToolContext, type ToolDefinition, type ToolLabels } from "./tool/definition.ts";
export type { OnFull } from "./worker/capacity.ts";
export type { Isolation } from "./worker/host.ts";
export type { Support, WasmFeature } from "./worker/support.ts";
