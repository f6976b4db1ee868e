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
import type { Recorder } from "./recorder.ts";

/** What an agent, its files and its runs have in common. */
export interface Parts {
  ref: AgentRef;
  limits: Readonly<Limits>;
  seed: number;
  /** Its functions are called; else it is a command, and run. */
  reactor: boolean;
  host: Host;
  broker: Broker;
  rights: Rights;
  labels: Taint;
  leases: Set<Lease>;
  log: AuditLog;
  /** Where answers go when the worker waits in `Atomics.wait`. */
  answers: SharedArrayBuffer | undefined;
  onFull: OnFull;
  /** Knows of the agent's first files already. */
  recorder: Recorder;
  /** See `agent-spawn` in the log. */
  machine: string;
  mounts: Mounts | undefined;
}
