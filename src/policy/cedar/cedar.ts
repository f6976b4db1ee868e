/** The policy engine: instances of Cedar's WebAssembly that load a policy, decide, and are replaced when they trap. */
import { createCedar } from "virtual:cedar-glue";
import { VakError } from "../../errors.ts";
import type { Decision, ExplainedPolicy, LoadedPolicy, PolicyEngine, PolicyRequest, PolicyTool } from "../engine.ts";
import { type ReadSource, readSource, readText } from "../pack.ts";
import { type Budgets, makeBase } from "./base.ts";
import { callable } from "./callable.ts";
import { deny, judge } from "./judge.ts";
import { type Cedar, messageOf } from "./read.ts";
import { prepare, type Rules, readRules } from "./rules.ts";
import { runTests } from "./run-tests.ts";
import { compile, unavailable, type WasmSource } from "./wasm.ts";
import { cedarWasmUrl } from "./wasm-url.ts";

export interface CedarOptions {
  /** Every tool that a policy may refer to; their schemas type `context.input`. */
  tools: readonly PolicyTool[];
  /** The kernel's budgets; their state is in `context.vak.budget`. */
  budgets?: Budgets;
  /** Cedar text: forbids that apply with every policy, and that none can override. */
  constitution?: string;
  /** Cedar's wasm, read on the first `load`. Default: `cedar.wasm` beside this module. */
  wasm?: WasmSource | undefined;
}

/** A policy in force, and the instance that holds it parsed. */
interface Live {
  readonly policy: LoadedPolicy;
  readonly rules: Rules;
  /** Absent from the moment that an instance traps until another has replaced it. */
  cedar: Cedar | undefined;
  reviving: boolean;
}

/**
 * A policy engine over Cedar. Principal `Agent`, an action `Action::"call:NAME"` for each tool in the group
 * `Action::"call"`, resource `Tool`; `context.input` has the fields that the tool's schema declares with one Cedar
 * type each, `context.vak` the facts that only the kernel knows.
 *
 * It denies until a policy is loaded, on any error, and after `close`.
 *
 * @throws VakError `invalid-tool` if two tools have the same name
 * @example
 * const engine = createCedarEngine({ tools });
 * await engine.load(`permit (principal, action == Action::"call:add", resource) when { context.input.a < 100 };`);
 * const { decision } = await engine.decide(request);
 */
export function createCedarEngine({ tools, budgets, constitution, wasm = cedarWasmUrl }: CedarOptions): PolicyEngine {
  const base = makeBase(tools, budgets, constitution);

  let module: Promise<WebAssembly.Module> | undefined;
  let live: Live | undefined;
  let closed = false;
  let loading: Promise<unknown> = Promise.resolve();

  async function instance(): Promise<Cedar> {
    module ??= compile(wasm).catch((error) => {
      module = undefined; // so that the next load tries again
      throw error;
    });
    const compiled = await module;
    return createCedar(compiled).catch((cause) => {
      throw unavailable("Cedar's WebAssembly does not start", cause);
    });
  }

  /**
   * Reads and tests a policy on an instance of its own, and if it is refused, on another. In WebKitGTK 2.50, about one
   * load in 5,000 of the same good policy traps or is refused for no reason, by a fault of the engine. A policy that is
   * really wrong is refused again.
   */
  async function make(source: ReadSource, lease?: string): Promise<{ rules: Rules; cedar: Cedar }> {
    try {
      return await attempt(source, lease);
    } catch (error) {
      if ((error as VakError).code !== "invalid-policy") throw error;
      return attempt(source, lease);
    }
  }

  async function attempt(source: ReadSource, lease?: string): Promise<{ rules: Rules; cedar: Cedar }> {
    if (closed) throw new VakError("closed", "The policy engine was closed; create another.");
    const cedar = await instance();
    try {
      const rules = readRules(cedar, base, source, lease);
      if (lease === undefined) await runTests(cedar, base, rules, source);
      return { rules, cedar };
    } catch (cause) {
      if (cause instanceof VakError) throw cause;
      const why = `Cedar failed on the policy (${messageOf(cause)}): shorten its longest or deepest expression.`;
      throw new VakError("invalid-policy", why, { cause });
    }
  }

  async function load(source: ReadSource, commit?: (policy: LoadedPolicy) => Promise<void>): Promise<LoadedPolicy> {
    // The policy is read by a fresh instance, which goes live only if the policy is good.
    const { rules, cedar } = await make(source);
    const { digest, text } = source;
    const policy = Object.freeze({ digest, text, policies: Object.freeze([...rules.ids]), base: base.text });
    await commit?.(policy);
    if (closed) throw new VakError("closed", "The policy engine was closed; create another.");
    live = { policy, rules, cedar, reviving: false };
    return policy;
  }

  /** Gives a policy whose instance trapped a new one. Until then, everything is denied. */
  async function revive(held: Live): Promise<void> {
    if (held.reviving || held !== live) return;
    held.reviving = true;
    try {
      const cedar = await instance();
      prepare(cedar, held.rules);
      held.cedar = cedar;
    } catch {
      // Still without an instance: everything is denied, and the next decision tries again.
    } finally {
      held.reviving = false;
    }
  }

  /** The callable tools by rules, and by what a policy can see of an agent. */
  const found = new WeakMap<Rules, Map<string, Promise<ReadonlySet<string>>>>();

  function findCallable(rules: Rules, agent: PolicyRequest["agent"]): Promise<ReadonlySet<string>> {
    const known = found.get(rules) ?? new Map<string, Promise<ReadonlySet<string>>>();
    found.set(rules, known);
    const key = JSON.stringify([agent.name, agent.program]);
    let names = known.get(key);
    if (!names) {
      names = listCallable(rules, agent);
      names.catch(() => known.delete(key)); // so that the next request tries again
      known.set(key, names);
      if (known.size > MAX_AGENTS) known.delete(known.keys().next().value!);
    }
    return names;
  }

  async function listCallable(rules: Rules, agent: PolicyRequest["agent"]): Promise<ReadonlySet<string>> {
    // Not the instance that decides: a trap here must not affect decisions.
    const cedar = await instance();
    const names = new Set<string>();
    for (const tool of base.views.keys()) {
      if (callable(cedar, rules, agent, tool)) names.add(tool);
      await new Promise((resolve) => setTimeout(resolve)); // gives the page a turn
    }
    return names;
  }

  function decide(request: PolicyRequest): Decision {
    const held = live;
    if (!held) return deny(NONE, "policy-unavailable", [closed ? "the engine is closed" : "no policy is loaded"]);
    const { rules } = held;
    if (!held.cedar) {
      void revive(held);
      return deny(rules, "policy-unavailable", ["the policy engine is being restarted"]);
    }
    try {
      return judge(held.cedar, rules, request);
    } catch (error) {
      held.cedar = undefined; // after any exception, the instance cannot be trusted
      void revive(held);
      return deny(rules, "policy-unavailable", [error]);
    }
  }

  return {
    get loaded() {
      return live?.policy;
    },
    async load(given, commit) {
      const source = readSource(given); // at once, because the caller may change it while this load waits
      const next = loading.then(() => load(source, commit));
      loading = next.catch(() => {});
      return next;
    },
    async decide(request) {
      // On an empty stack: Cedar recurses, and the depth of its caller must not make it trap.
      await undefined;
      return decide(request);
    },
    async try(given) {
      const { rules, cedar } = await make(readSource(given));
      return (request) => judge(cedar, rules, request);
    },
    async lease(permit) {
      if (!live)
        throw new VakError("invalid-policy", "A lease adds to a policy, and none is in force; load one first.");
      const { rules, cedar } = await make(readText(live.policy.text), permit);
      return {
        policyDigest: rules.digest,
        policies: rules.ids,
        decide: (request) => judge(cedar, rules, request),
        callable: (agent) => findCallable(rules, agent),
      };
    },
    async callable(agent) {
      return live ? findCallable(live.rules, agent) : new Set();
    },
    async explain(request) {
      await undefined;
      const rules = live?.rules;
      const decision = decide(request);
      return { ...decision, because: rules ? decision.policies.map((id) => explained(rules, id)) : [] };
    },
    close() {
      closed = true;
      live = undefined;
      module = undefined;
    },
  };
}

function explained({ enforced, annotations }: Rules, id: string): ExplainedPolicy {
  return { id, text: enforced.get(id) ?? "", annotations: Object.hasOwn(annotations, id) ? annotations[id]! : {} };
}

/** Agents, by what policies see of them, for which the callable tools are remembered. */
const MAX_AGENTS = 256;

/** Stands in for rules when no policy is in force. */
const NONE = { digest: "", annotations: {} };
