import { VakError } from "../errors.ts";

/** Which tools an agent may ask for. It never has more than its parent, and what the parent loses it loses too. */
export class Rights {
  private readonly parent: Rights | undefined;
  /** Undefined: whatever the parent has; without a parent, all. */
  private tools: ReadonlySet<string> | undefined;
  private taken = false;

  constructor(parent?: Rights, tools?: Iterable<string>) {
    this.parent = parent;
    this.tools = tools && new Set(tools);
  }

  has(tool: string): boolean {
    return !this.taken && (this.tools?.has(tool) ?? true) && (this.parent?.has(tool) ?? true);
  }

  /** Its own were taken away, or those of an agent that it comes from. */
  get revoked(): boolean {
    return this.taken || (this.parent?.revoked ?? false);
  }

  /** Leaves of what there is only these. */
  narrow(tools: Iterable<string>): void {
    this.tools = new Set([...tools].filter((tool) => this.has(tool)));
  }

  /** False when that was done before. */
  revoke(): boolean {
    const first = !this.taken;
    this.taken = true;
    return first;
  }
}

/**
 * The tools that are handed on, in order.
 *
 * @throws VakError `invalid-argument` when it is not a list, or there is one that cannot be handed on
 */
export function checkGrants(
  tools: readonly string[],
  from: Pick<Rights, "has">,
  known?: ReadonlyMap<string, unknown>,
): string[] {
  if (!Array.isArray(tools)) throw new VakError("invalid-argument", "Grants are a list of names of tools.");
  const more = tools.find((tool) => typeof tool !== "string" || !from.has(tool) || known?.has(tool) === false);
  if (more === undefined) return [...new Set(tools)].sort();
  const name = JSON.stringify(more);
  throw new VakError(
    "invalid-argument",
    `There is no right to ${name} that could be handed on; leave it out of the grants.`,
  );
}
