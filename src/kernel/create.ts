/** Making a kernel: its options are checked, its log opened, its policy loaded. */

import type { AuditLog } from "../log/log.ts";
import { openLog } from "../log/log.ts";
import { Spare } from "../worker/spare.ts";
import { Kernel } from "./kernel.ts";
import { checkKernel, type KernelOptions } from "./options.ts";
import { loadEngine } from "./policy-loading.ts";

/**
 * Makes a kernel: opens its log, loads its policy.
 *
 * @throws VakError `invalid-argument`, `invalid-policy`, `invalid-tool`, `policy-unavailable`, `log-in-use`,
 *   `log-corrupt`, `log-rollback`, `log-unavailable`, `aborted`
 * @example
 * await using kernel = await createKernel({
 *   policy: `permit (principal, action == Action::"call:add", resource) when { context.input.a < 100 };`,
 *   tools: [add],
 * });
 */
export async function createKernel(options: KernelOptions = {}): Promise<Kernel> {
  const { tools, place, people, onFull } = checkKernel(options);
  const { policy } = options;
  const spare = new Spare(place);
  // A page that brings a policy means to spawn: the first worker starts while the log is opened and the policy loaded.
  if (policy !== undefined) spare.start();
  let log: AuditLog | undefined;
  try {
    log = await openLog(options.log ?? {});
    const ledger = options.budgets && new (await import("../policy/ledger.ts")).Ledger(options.budgets);
    const engine = await loadEngine([...tools.values()], ledger, options);
    const kernel = new Kernel({ tools, engine, log, spare, people, ledger, onFull });
    if (policy === undefined) return kernel;
    if (log.writing) await kernel.policy.load(policy);
    // Until another tab leaves the log to this one, there is nothing to decide. If the policy is refused then, every
    // call is denied.
    else log.writable.then(() => kernel.policy.load(policy)).catch(() => {});
    return kernel;
  } catch (error) {
    await spare.close("the kernel could not be made");
    await log?.close();
    throw error;
  }
}
