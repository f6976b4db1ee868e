/** What an agent, its files and its runs share. */
import type { AgentRef } from "../audit/vocabulary/common.ts";
import type { Broker } from "../broker/broker.ts";
import type { Lease } from "../broker/lease.ts";
import type { Rights } from "../broker/rights.ts";
import type { Taint } from "../broker/taint.ts";
import type { Mounts } from "../files/mounts.ts";
import type { Limits } from "../limits.ts";
import type { AuditLog } from "../log/log.ts";
import type { OnFull } from "../worker/capacity.ts";
import type { Host } from "../worker/host.ts";
import type { GuestChannel } from "./guest-channel.ts";
import type { Recorder } from "./recorder.ts";

export interface AgentContext {
  ref: AgentRef;
  limits: Readonly<Limits>;
  seed: number;
  /** Whether its functions are called; otherwise it is a command, and run. */
  reactor: boolean;
  host: Host;
  channel: GuestChannel;
  broker: Broker;
  rights: Rights;
  taint: Taint;
  leases: Set<Lease>;
  log: AuditLog;
  onFull: OnFull;
  /** Has recorded the agent's first files already. */
  recorder: Recorder;
  /** See `agent-spawn` in the log. */
  machine: string;
  mounts: Mounts | undefined;
}
