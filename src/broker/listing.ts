/** `vak.tools`, which a guest calls like a tool: lists the tools that it could call, described as MCP does. */
import type { AuditLog } from "../log/log.ts";
import type { PolicyEngine } from "../policy/engine.ts";
import type { Tool } from "../tool/definition.ts";
import { type Answered, encodeAnswer } from "./answer.ts";
import { type Caller, position } from "./call.ts";
import { messageOf } from "./message.ts";
import { DENIALS, refuse } from "./refusal.ts";

/** The name that a guest asks for in place of a tool's. */
export const LIST = "vak.tools";

/**
 * Answers with the list, once the log says that the guest was given it.
 *
 * @throws VakError `log-unavailable`
 */
export async function listTools(
  caller: Caller,
  input: unknown,
  { tools, policy, log }: { tools: ReadonlyMap<string, Tool>; policy: PolicyEngine; log: AuditLog },
): Promise<Answered> {
  const digest = () => policy.loaded?.digest ?? "";
  if (JSON.stringify(input) !== "{}") {
    const refusal = { code: "invalid-input", message: `${LIST} takes no input.`, tool: LIST } as const;
    return refuse(caller, refusal, log, digest());
  }
  for (;;) {
    const policyDigest = digest();
    let names: Set<string>;
    try {
      names = new Set(await policy.callable(caller.agent));
      for (const lease of caller.leases ?? []) for (const name of await lease.callable(policyDigest)) names.add(name);
    } catch (error) {
      const reason = "policy-unavailable";
      const refusal = { code: "denied", message: DENIALS[reason], tool: LIST } as const;
      return refuse(caller, refusal, log, digest(), { reason, errors: [messageOf(error)] });
    }
    if (digest() !== policyDigest) continue; // these names are another policy's
    // From here to the append nothing is awaited: a right that was taken away before it is not listed.
    const listed = [...tools.values()].filter(({ name }) => names.has(name) && caller.rights?.has(name) !== false);
    const { bytes, sent } = encodeAnswer({ ok: listed.map(describe) }, caller.callBytes);
    const given = "ok" in sent ? listed.map(({ name }) => name) : [];
    await log.append({ type: "tools-listed", ...position(caller), resource: LIST, tools: given, policyDigest });
    return { bytes };
  }
}

/** A tool as MCP describes it. */
function describe({ name, title, description, inputSchema, outputSchema, annotations }: Tool) {
  return {
    ...{ name, description, inputSchema },
    ...(title !== undefined && { title }),
    ...(outputSchema && { outputSchema }),
    ...(annotations && { annotations }),
  };
}
