import { createCedar } from "virtual:cedar-glue";
import type { Context, Schema, StatefulAuthorizationCall } from "@cedar-policy/cedar-wasm/web";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { VakError } from "../errors.ts";
import type { Decision, LoadedPolicy, PolicyEngine, PolicyRequest, PolicyTool } from "./engine.ts";
import { type Cedar, messageOf, readPolicy, refuseStrayNames } from "./read.ts";
import { AGENT, cedarSchema, project, type ToolView, viewTool } from "./schema.ts";
import { compile, unavailable, type WasmSource } from "./wasm.ts";
import { cedarWasmUrl } from "./wasm-url.ts";

export interface CedarOptions {
  /** Every tool that a policy may speak of; they type `context.input`. */
  tools: readonly PolicyTool[];
  /** Cedar's wasm; by default `cedar.wasm` beside this module, fetched on the first `load`. */
  wasm?: WasmSource | undefined;
}

/** The text of each policy by its id, in the order of the source. */
type PolicyTexts = ReadonlyMap<string, string>;

/** A policy in force, and the one instance that holds it parsed. */
interface Live {
  readonly policy: LoadedPolicy;
  readonly texts: PolicyTexts;
  /** Absent from the moment an instance traps until another has taken its place. */
  cedar: Cedar | undefined;
  reviving: boolean;
}

/**
 * The names of what is parsed inside an instance. An instance holds one policy set for its whole life: Cedar cannot
 * drop a parsed set, so a new policy gets a new instance (a millisecond or two, once compiled) and the old one is garbage.
 */
export const PARSED = { preparsedSchemaName: "vak", preparsedPolicySetId: "vak" } as const;

/**
 * A policy engine over Cedar. Principal `Agent`, an action `Action::"call:NAME"` for each tool in the group
 * `Action::"call"`, resource `Tool`; `context.input` has the fields that the tool's schema declares with one Cedar
 * type each, `context.vak` what only the kernel knows.
 *
 * It denies until a policy is loaded, on any error, and after `close`.
 *
 * @throws VakError `invalid-tool` when two tools share a name
 * @example
 * const engine = createCedarEngine({ tools });
 * await engine.load(`permit (principal, action == Action::"call:add", resource) when { context.input.a < 100 };`);
 * const { decision } = await engine.decide(request);
 */
export function createCedarEngine({ tools, wasm = cedarWasmUrl }: CedarOptions): PolicyEngine {
  const views = new Map(tools.map((tool) => [tool.name, viewTool(tool)]));
  if (views.size !== tools.length) throw new VakError("invalid-tool", "Two tools have the same name; rename one.");
  const hidden = [...views.values()].flatMap((view) => view.hidden);
  const schema = cedarSchema(views);

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

  async function load(text: string, commit?: (policy: LoadedPolicy) => Promise<void>): Promise<LoadedPolicy> {
    if (closed) throw new VakError("closed", "The policy engine was closed.");
    // The policy meets a fresh instance first; that instance goes live only if the policy is good.
    const cedar = await instance();
    let texts: PolicyTexts;
    try {
      const parts = readPolicy(cedar, schema, hidden, text);
      refuseStrayNames(text, parts, views);
      texts = new Map(parts.map((part) => [part.id, part.text]));
      prepare(cedar, schema, texts);
    } catch (cause) {
      if (cause instanceof VakError) throw cause;
      const why = `Cedar gave up on the policy (${messageOf(cause)}); an expression is too long or too deep.`;
      throw new VakError("invalid-policy", why, { cause });
    }
    const digest = bytesToHex(sha256(utf8ToBytes(text)));
    const policy = Object.freeze({ digest, text, policies: Object.freeze([...texts.keys()]) });
    await commit?.(policy);
    if (closed) throw new VakError("closed", "The policy engine was closed.");
    live = { policy, texts, cedar, reviving: false };
    return policy;
  }

  /** Gives a policy whose instance trapped a new one. Until that is done, it denies. */
  async function revive(held: Live): Promise<void> {
    if (held.reviving || held !== live) return;
    held.reviving = true;
    try {
      const cedar = await instance();
      prepare(cedar, schema, held.texts);
      held.cedar = cedar;
    } catch {
      // Still without an instance: it goes on denying, and the next decision tries again.
    } finally {
      held.reviving = false;
    }
  }

  function decide(request: PolicyRequest): Decision {
    const held = live;
    if (!held) return deny("", "policy-unavailable", [closed ? "the engine is closed" : "no policy is loaded"]);
    const { digest } = held.policy;
    let call: StatefulAuthorizationCall;
    try {
      call = authorizationCall(views, request);
    } catch (error) {
      return deny(digest, "policy-unavailable", [error]);
    }
    if (!held.cedar) {
      void revive(held);
      return deny(digest, "policy-unavailable", ["the policy engine is being restarted"]);
    }
    try {
      return interpret(held.cedar.statefulIsAuthorized(call), digest);
    } catch (error) {
      held.cedar = undefined; // whatever threw, the instance can no longer be trusted
      void revive(held);
      return deny(digest, "policy-unavailable", [error]);
    }
  }

  return {
    get loaded() {
      return live?.policy;
    },
    load(text, commit) {
      const next = loading.then(() => load(text, commit));
      loading = next.catch(() => {});
      return next;
    },
    async decide(request) {
      // On an empty stack: Cedar recurses, and how deep its caller is must not be what makes it trap.
      await undefined;
      return decide(request);
    },
    close() {
      closed = true;
      live = undefined;
      module = undefined;
    },
  };
}

function authorizationCall(views: ReadonlyMap<string, ToolView>, request: PolicyRequest): StatefulAuthorizationCall {
  const { agent, tool, input, vak } = request;
  const view = views.get(tool);
  if (!view) throw new Error(`there is no tool "${tool}"`);
  const principal = { type: "Agent", id: agent.id };
  return {
    ...PARSED,
    validateRequest: true,
    principal,
    action: { type: "Action", id: `call:${tool}` },
    resource: { type: "Tool", id: tool },
    context: project(view.context, { input, vak }) as Context,
    entities: [{ uid: principal, attrs: project(AGENT, agent, "agent") as Context, parents: [] }],
  };
}

/** Allows only on a success whose decision is allow and that met no error. An error may have skipped a `forbid`. */
export function interpret(answer: ReturnType<Cedar["statefulIsAuthorized"]>, digest: string): Decision {
  if (answer.type !== "success") return deny(digest, "policy-unavailable", answer.errors);
  const { decision, diagnostics } = answer.response;
  const { reason, errors } = diagnostics;
  if (decision === "allow" && errors.length === 0) {
    return { decision, policies: reason, errors: [], policyDigest: digest };
  }
  const met = errors.map((entry) => entry.error);
  if (decision === "deny" && reason.length > 0) return deny(digest, "forbidden", met, reason);
  if (errors.length > 0) {
    const failed = errors.map((entry) => entry.policyId);
    return deny(digest, "policy-error", met, failed);
  }
  return deny(digest, "no-permit", []);
}

function deny(
  policyDigest: string,
  reason: NonNullable<Decision["reason"]>,
  errors: readonly unknown[],
  policies: string[] = [],
): Decision {
  // A message can quote what the guest sent, and the log keeps it: bounded in number and length.
  const messages = errors.slice(0, 8).map((error) => messageOf(error).slice(0, 500));
  return { decision: "deny", policies, reason, errors: messages, policyDigest };
}

/** Parses schema and policies into an instance, under {@link PARSED}. */
export function prepare(cedar: Cedar, schema: Schema, texts: PolicyTexts): void {
  for (const answer of [
    cedar.preparseSchema(PARSED.preparsedSchemaName, schema),
    cedar.preparsePolicySet(PARSED.preparsedPolicySetId, { staticPolicies: Object.fromEntries(texts) }),
  ]) {
    if (answer.type !== "success") throw new Error(answer.errors.map(messageOf).join("; "));
  }
}
