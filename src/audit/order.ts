/**
 * The rules for the order of entries: a run within its agent's life, an outcome after its intent, a decision under a
 * policy that was loaded. The writer and the verifier share them, so that whatever the log accepts also verifies.
 */
import { VakError } from "../errors.ts";
import { joinLabels } from "../labels.ts";
import type { Entry } from "./entry.ts";
import type { Approval, ApprovalRequest, Denial, Intent } from "./vocabulary/call.ts";
import type { AgentRef, Digest } from "./vocabulary/common.ts";

interface Opened {
  /** `seq` of the entry that opened it. */
  seq: number;
  agent: AgentRef;
}

/** An agent, and the tools it may call: its own (undefined: all), as far as its ancestors may call them too. */
interface Spawned extends Opened {
  parent: Spawned | undefined;
  grants: ReadonlySet<string> | undefined;
  revoked: boolean;
  /** By path, whether it is read-only. */
  mounts: ReadonlyMap<string, boolean>;
  /** What it has read, in order. */
  labels: readonly string[];
}

function mayCall(agent: Spawned | undefined, tool: string): boolean {
  for (let at = agent; at; at = at.parent) if (at.revoked || at.grants?.has(tool) === false) return false;
  return true;
}

function isRevoked(agent: Spawned | undefined): boolean {
  for (let at = agent; at; at = at.parent) if (at.revoked) return true;
  return false;
}

/** A request for an approval, and the labels that its agent had then. */
type Requested = ApprovalRequest & { labels: readonly string[] };

interface Approved {
  approval: Approval;
  request: Requested;
  used: boolean;
}

const sameTexts = (value: unknown, texts: readonly string[]): boolean =>
  Array.isArray(value) && value.length === texts.length && texts.every((text, i) => value[i] === text);

/** What is needed from an earlier session to continue its log. */
export interface Resumed {
  size: number;
  policy: Digest | null;
  policies: Iterable<Digest>;
  /** The entries that opened what is still open, in order. */
  open: Iterable<Entry>;
}

export class Order {
  #size = 0;
  #policy: Digest | null = null;
  readonly #policies = new Set<Digest>();
  readonly #agents = new Map<string, Spawned>();
  readonly #runs = new Map<string, Opened & { intents: number; parts: number }>();
  readonly #intents = new Map<number, Intent>();
  /** Requests that wait for an answer, and the answers that a call may still refer to, until their run ends. */
  readonly #requests = new Map<number, Requested>();
  /** Ids of the agents whose writes to a mount have no result yet, by the `seq` of the write. */
  readonly #writes = new Map<number, string>();
  /** Leases that have not ended, by their `seq`. */
  readonly #leases = new Map<number, { agent: string; policyDigest: Digest }>();
  readonly #approvals = new Map<number, Approved>();
  /** Outcomes of unknown status at the very end: those that a recovery counts. */
  #unknown = 0;

  static resume({ size, policy, policies, open }: Resumed): Order {
    const order = new Order();
    for (const entry of open) order.#apply(entry);
    for (const digest of policies) order.#policies.add(digest);
    order.#policy = policy;
    order.#size = size;
    return order;
  }

  /** The policy in force. */
  get policy(): Digest | null {
    return this.#policy;
  }

  knowsPolicy(digest: Digest): boolean {
    return this.#policies.has(digest);
  }

  /** How many agents, runs and intents are open. */
  get openCounts(): { agents: number; runs: number; intents: number } {
    return { agents: this.#agents.size, runs: this.#runs.size, intents: this.#intents.size };
  }

  /** The `seq` of each entry that opened something which is still open, in order. */
  open(): number[] {
    return [...this.#agents.values(), ...this.#runs.values(), ...this.#intents.values()]
      .map(({ seq }) => seq)
      .sort((a, b) => a - b);
  }

  /**
   * Accepts the next entry.
   *
   * @throws VakError `invalid-argument` saying which rule it breaks; nothing has changed then
   */
  accept(entry: Entry): void {
    const wrong = this.#fault(entry);
    if (wrong) throw new VakError("invalid-argument", `This ${entry.type} is out of order: ${wrong}.`);
    this.#apply(entry);
    this.#size++;
  }

  #fault(entry: Entry): string | undefined {
    if (entry.seq !== this.#size) return `its seq is ${entry.seq}, but its place is ${this.#size}`;
    if ((entry.type === "log-open") !== (this.#size === 0)) return "log-open is the first entry, and only the first";
    if ("agent" in entry && entry.type !== "agent-spawn") {
      const spawned = this.#agents.get(entry.agent.id);
      if (!spawned) return `there is no open agent "${entry.agent.id}"`;
      if (spawned.agent.name !== entry.agent.name || spawned.agent.program !== entry.agent.program) {
        return `agent "${entry.agent.id}" was spawned with another name or program`;
      }
    }
    if ("run" in entry && entry.type !== "run-start") {
      const run = this.#runs.get(entry.run);
      if (!run) return `there is no open run "${entry.run}"`;
      if (run.agent.id !== entry.agent.id) return `run "${entry.run}" belongs to another agent`;
    }
    switch (entry.type) {
      case "policy-load":
        return entry.previous === this.#policy ? undefined : "previous is not the policy that it replaces";
      case "agent-spawn":
        if (this.#agents.has(entry.agent.id)) return `agent "${entry.agent.id}" is open already`;
        if (entry.parent === undefined) return undefined;
        return this.#agents.has(entry.parent)
          ? (this.#widened(this.#agents.get(entry.parent), entry.grants ?? []) ??
              this.#shed(entry.parent, entry.labels))
          : `its parent "${entry.parent}" is not an open agent`;
      case "agent-declassify": {
        const { labels } = this.#agents.get(entry.agent.id)!;
        const none = entry.labels.find((label) => !labels.includes(label));
        return none === undefined ? undefined : `the agent has no label "${none}"`;
      }
      case "agent-attenuate":
        return this.#widened(this.#agents.get(entry.agent.id), entry.grants);
      case "agent-revoke":
        return this.#agents.get(entry.agent.id)!.revoked ? "its rights were revoked already" : undefined;
      case "mount-read":
      case "mount-write": {
        const readOnly = this.#agents.get(entry.agent.id)!.mounts.get(entry.mount);
        if (readOnly === undefined) return `the agent has no mount "${entry.mount}"`;
        if (entry.type === "mount-read") return undefined;
        if (isRevoked(this.#agents.get(entry.agent.id))) return "the agent's rights were revoked";
        return readOnly ? `the mount "${entry.mount}" is read-only` : undefined;
      }
      case "mount-written":
        return this.#writes.get(entry.writeOf) === entry.agent.id
          ? undefined
          : `entry ${entry.writeOf} is not an open mount-write of the agent`;
      case "lease":
        return this.#unknownPolicy(entry.policyDigest);
      case "lease-end":
        return this.#leases.get(entry.lease)?.agent === entry.agent.id
          ? undefined
          : `entry ${entry.lease} is not an open lease of the agent`;
      case "agent-close": {
        const open = [...this.#runs].find(([, run]) => run.agent.id === entry.agent.id);
        return open ? `run "${open[0]}" of the agent has not ended` : undefined;
      }
      case "run-start":
        return this.#runs.has(entry.run) ? `run "${entry.run}" has started already` : undefined;
      case "approval-request":
        return this.#unknownPolicy(entry.policyDigest);
      case "approval": {
        const request = this.#requests.get(entry.requestOf);
        if (!request)
          return `entry ${entry.requestOf} is not an open request: it never was one, or was answered already`;
        return request.run === entry.run && request.call === entry.call && request.callDigest === entry.callDigest
          ? undefined
          : `the request, entry ${entry.requestOf}, is of another call`;
      }
      case "intent":
        if (!mayCall(this.#agents.get(entry.agent.id), entry.resource))
          return `the agent has no right to "${entry.resource}"`;
        if (entry.lease !== undefined) {
          const lease = this.#leases.get(entry.lease);
          if (lease?.agent !== entry.agent.id || lease.policyDigest !== entry.policyDigest) {
            return `entry ${entry.lease} is not a lease of the agent under this policy`;
          }
        }
        return this.#unknownPolicy(entry.policyDigest) ?? this.#unapproved(entry) ?? this.#mislabelled(entry);
      case "denial":
        return (
          (entry.policyDigest === "" ? undefined : this.#unknownPolicy(entry.policyDigest)) ??
          this.#unapproved(entry) ??
          // A request that was refused before any decision has no digest.
          (entry.callDigest === null ? undefined : this.#mislabelled(entry))
        );
      case "tools-listed": {
        const more = entry.tools.find((tool) => !mayCall(this.#agents.get(entry.agent.id), tool));
        if (more !== undefined) return `the list names "${more}", to which the agent has no right`;
        return entry.policyDigest === "" ? undefined : this.#unknownPolicy(entry.policyDigest);
      }
      case "outcome": {
        const intent = this.#intents.get(entry.intentOf);
        if (!intent) return `entry ${entry.intentOf} is not an open intent: it never was one, or was closed already`;
        return intent.run === entry.run && intent.call === entry.call
          ? undefined
          : `the intent, entry ${entry.intentOf}, is of another run or call`;
      }
      case "trace": {
        const next = this.#runs.get(entry.run)!.parts + 1;
        return entry.part === next
          ? undefined
          : `it is part ${entry.part} of the run's trace, where part ${next} is next`;
      }
      case "run-end":
        if ([...this.#requests.values()].some(({ run }) => run === entry.run))
          return "a request of the run has no answer";
        return this.#runs.get(entry.run)!.intents > 0 ? "an intent of the run has no outcome" : undefined;
      case "recovery":
        if (this.#intents.size > 0) return "an intent has no outcome";
        return entry.intents <= this.#unknown && entry.runs === this.#runs.size && entry.agents === this.#agents.size
          ? undefined
          : "its counts differ from what was left open";
      case "erase":
        return entry.erases < entry.seq ? undefined : "it erases the value of an entry that does not exist yet";
      default:
        return undefined;
    }
  }

  /** What is wrong with passing on these tools. */
  #widened(from: Spawned | undefined, grants: readonly string[]): string | undefined {
    if (isRevoked(from)) return "the rights that it derives from were revoked";
    const more = grants.find((tool) => !mayCall(from, tool));
    return more === undefined ? undefined : `there is no right to "${more}" to pass on`;
  }

  /** What is wrong with the labels of a child. */
  #shed(parent: string, labels: readonly string[] = []): string | undefined {
    const lost = this.#agents.get(parent)!.labels.find((label) => !labels.includes(label));
    return lost === undefined ? undefined : `its parent has the label "${lost}", which it lacks`;
  }

  /** What is wrong with the labels that a call was decided with: they must be those that the agent has by this log. */
  #mislabelled({ agent, facts }: Intent | Denial): string | undefined {
    const { labels } = this.#agents.get(agent.id)!;
    return sameTexts(facts?.labels ?? [], labels)
      ? undefined
      : `it was not decided with the labels that the agent had: ${labels.join(", ") || "none"}`;
  }

  #label(agent: string, labels: readonly string[] = []): void {
    if (labels.length === 0) return;
    const labelled = this.#agents.get(agent)!;
    labelled.labels = joinLabels([labelled.labels, labels]);
  }

  /** What is wrong with how a call refers to an approval, which is for one call or for one kind of call in one run. */
  #unapproved(entry: Intent | Denial): string | undefined {
    if ([...this.#requests.values()].some(({ run, call }) => run === entry.run && call === entry.call)) {
      return "a request for this call has no answer";
    }
    const approved = entry.facts?.approved === true;
    if (entry.approval === undefined) return approved ? "it was decided as approved, but names no approval" : undefined;
    const found = this.#approvals.get(entry.approval);
    if (!found) return `entry ${entry.approval} is not an approval in this run`;
    const { approval, request, used } = found;
    const where = `the approval, entry ${entry.approval},`;
    if (approval.run !== entry.run) return `${where} is of another run`;
    if (approval.scope !== "run" && approval.call !== entry.call) return `${where} is of another call`;
    if (approved !== (approval.verdict === "granted")) return `${where} contradicts what it was decided with`;
    if (entry.type === "denial") return undefined;
    if (approval.verdict !== "granted") return `${where} was not granted`;
    if (approval.scope === "call" && (used || approval.callDigest !== entry.callDigest)) {
      return used ? `${where} was used already` : `${where} is of another call`;
    }
    const { labels } = this.#agents.get(entry.agent.id)!;
    if (!sameTexts(request.labels, labels)) return `${where} predates a change of the agent's labels`;
    return request.action === entry.action &&
      request.resource === entry.resource &&
      request.policyDigest === entry.policyDigest
      ? undefined
      : `${where} is for another tool, or under another policy`;
  }

  #unknownPolicy(digest: Digest): string | undefined {
    return this.knowsPolicy(digest) ? undefined : `no policy with the digest ${digest} was loaded before`;
  }

  #apply(entry: Entry): void {
    this.#unknown = entry.type === "outcome" && entry.status === "unknown" ? this.#unknown + 1 : 0;
    switch (entry.type) {
      case "policy-load":
        this.#policy = entry.policyDigest;
        this.#policies.add(entry.policyDigest);
        break;
      case "agent-spawn":
        this.#agents.set(entry.agent.id, {
          seq: entry.seq,
          agent: entry.agent,
          parent: this.#agents.get(entry.parent ?? ""),
          grants: entry.grants && new Set(entry.grants),
          revoked: false,
          mounts: new Map(entry.mounts?.map(({ path, readOnly }) => [path, readOnly])),
          labels: entry.labels ?? [],
        });
        break;
      case "agent-label":
        this.#label(entry.agent.id, entry.labels);
        break;
      case "agent-declassify": {
        const declassified = this.#agents.get(entry.agent.id)!;
        declassified.labels = declassified.labels.filter((label) => !entry.labels.includes(label));
        break;
      }
      case "agent-attenuate":
        this.#agents.get(entry.agent.id)!.grants = new Set(entry.grants);
        break;
      case "agent-revoke":
        this.#agents.get(entry.agent.id)!.revoked = true;
        break;
      case "mount-write":
        this.#writes.set(entry.seq, entry.agent.id);
        break;
      case "mount-written":
        this.#writes.delete(entry.writeOf);
        break;
      case "lease":
        this.#leases.set(entry.seq, { agent: entry.agent.id, policyDigest: entry.policyDigest });
        break;
      case "lease-end":
        this.#leases.delete(entry.lease);
        break;
      case "agent-close":
        for (const [seq, { agent }] of this.#leases) if (agent === entry.agent.id) this.#leases.delete(seq);
        for (const [seq, agent] of this.#writes) if (agent === entry.agent.id) this.#writes.delete(seq);
        this.#agents.delete(entry.agent.id);
        break;
      case "run-start":
        this.#runs.set(entry.run, { seq: entry.seq, agent: entry.agent, intents: 0, parts: 0 });
        this.#label(entry.agent.id, entry.labels);
        break;
      case "approval-request":
        this.#requests.set(entry.seq, { ...entry, labels: this.#agents.get(entry.agent.id)!.labels });
        break;
      case "approval":
        this.#approvals.set(entry.seq, { approval: entry, request: this.#requests.get(entry.requestOf)!, used: false });
        this.#requests.delete(entry.requestOf);
        break;
      case "intent":
        if (entry.approval !== undefined && this.#approvals.has(entry.approval))
          this.#approvals.get(entry.approval)!.used = true;
        this.#intents.set(entry.seq, entry);
        this.#runs.get(entry.run)!.intents++;
        break;
      case "outcome":
        this.#intents.delete(entry.intentOf);
        this.#label(entry.agent.id, entry.labels);
        this.#runs.get(entry.run)!.intents--;
        break;
      case "trace":
        this.#runs.get(entry.run)!.parts++;
        break;
      case "run-end":
        this.#runs.delete(entry.run);
        for (const [seq, { approval }] of this.#approvals) if (approval.run === entry.run) this.#approvals.delete(seq);
        break;
      case "recovery":
        this.#requests.clear();
        this.#approvals.clear();
        this.#leases.clear();
        this.#writes.clear();
        this.#runs.clear();
        this.#agents.clear();
        break;
    }
  }
}
