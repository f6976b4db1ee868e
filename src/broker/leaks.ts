/** The loop for leaks: a tool looks for them in its input, and redacts them where the policy asks for that. */
import type { Decision } from "../policy/engine.ts";
import { leaksIn } from "../tool/leaks.ts";
import type { Caller } from "./call.ts";
import { type Checked, checkInput } from "./checked.ts";
import { messageOf } from "./message.ts";
import type { Ruling } from "./ruling.ts";

/**
 * Has the tool look. If the only policies that would then deny the call are forbids with `@redact`, the call is changed
 * to the input that the tool offers without its leaks, as if the guest had sent that: what is decided, logged and done
 * is one input.
 *
 * @param askPolicy what the policy says of a call, without a person's approval
 * @returns with `leaks`; an Error where the tool failed to look, which denies the call
 */
export async function withLeaks(
  caller: Caller,
  checked: Checked,
  askPolicy: (checked: Checked) => Promise<Ruling>,
): Promise<Checked> {
  const { tool, argument } = checked;
  try {
    const { kinds: leaks, redacted } = await leaksIn(tool, argument, caller);
    const found = { ...checked, leaks };
    if (leaks.length === 0 || redacted === undefined) return found;
    if (!wantsRedaction((await askPolicy(found)).decision)) return found;
    const clean = await checkInput(tool, redacted);
    if (!("commitment" in clean)) return found;
    const again = await leaksIn(tool, clean.argument, caller);
    return { ...checked, ...clean, leaks: again.kinds, redacted: leaks };
  } catch (error) {
    return { ...checked, leaks: new Error(messageOf(error)) };
  }
}

/** Whether all that denies the call is forbids with `@redact`: they ask for redaction instead. */
function wantsRedaction({ reason, policies, annotations = {} }: Decision): boolean {
  const redacts = (id: string) => Object.hasOwn(annotations, id) && Object.hasOwn(annotations[id]!, "redact");
  return reason === "forbidden" && policies.length > 0 && policies.every(redacts);
}
