export type { Anchor, ProofSource } from "./audit/anchor.ts";
export type { ExportProgress } from "./audit/bundle.ts";
export type { Entry } from "./audit/entry.ts";
export type {
  Checkpoint,
  EntriesOptions,
  EntryFilter,
  ExportOptions,
  LogOptions,
  LogRecord,
  LogStatus,
} from "./audit/log.ts";
export type { Signer } from "./audit/signer.ts";
export { VakError, type VakErrorCode } from "./errors.ts";
export type { FileChange } from "./files/watch.ts";
export type { Agent, Declassification } from "./kernel/agent.ts";
export type { AgentFiles } from "./kernel/agent-files.ts";
export type { ApprovalAnswer, ApprovalRequest, OnApproval } from "./kernel/approval.ts";
export type { CallErrorCode, Explanation, ProposedCall } from "./kernel/broker.ts";
export type { Isolation } from "./kernel/host.ts";
export { createKernel, type Kernel, type KernelLog, type KernelPolicy, support } from "./kernel/kernel.ts";
export type { Lease, LeaseOptions } from "./kernel/lease.ts";
export type {
  FirstFile,
  ForkOptions,
  KernelOptions,
  Mount,
  ProgramSource,
  SpawnOptions,
} from "./kernel/options.ts";
export type { OnFull } from "./kernel/room.ts";
export type { CallOptions, Run, RunOptions, RunOutcome, RunResult, StopLimit, Usage } from "./kernel/run.ts";
export type { Support, WasmFeature } from "./kernel/support.ts";
export { DEFAULT_LIMITS, GiB, KiB, type LimitName, type Limits, MiB } from "./limits.ts";
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
export type { FileStat, Trap } from "./protocol.ts";
export { defineTool, type Tool, type ToolContext, type ToolDefinition, type ToolLabels } from "./tool.ts";
export type { ForkPoint } from "./trace.ts";
