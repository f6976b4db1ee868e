/** Rights: which tools an agent may ask for, at most those that its parent may ask for. */
import { VakError } from "../errors.ts";

/** An agent never has more than its parent, and what the parent loses it loses too. */
export class Rights {
  readonly #parent: Rights | undefined;
  /** Undefined: all that the parent has; without a parent, all tools. */
  #tools: ReadonlySet<string> | undefined;
  #revoked = false;

  constructor(parent?: Rights, tools?: Iterable<string>) {
    this.#parent = parent;
    this.#tools = tools && new Set(tools);
  }

  has(tool: string): boolean {
    return !this.#revoked && (this.#tools?.has(tool) ?? true) && (this.#parent?.has(tool) ?? true);
  }

  /** Its own rights were revoked, or those of an ancestor. */
  get revoked(): boolean {
    return this.#revoked || (this.#parent?.revoked ?? false);
  }

  /** Keeps only these of the tools that it has. */
  narrow(tools: Iterable<string>): void {
    this.#tools = new Set([...tools].filter((tool) => this.has(tool)));
  }

  /** False if its own rights were revoked before. */
  revoke(): boolean {
    const first = !this.#revoked;
    this.#revoked = true;
    return first;
  }
}

/**
 * The tools that are granted, in order, each once.
 *
 * @throws VakError `invalid-argument` when it is not a list, or one of them cannot be granted
 */
export function checkGrants(
  tools: readonly string[],
  from: Pick<Rights, "has">,
  known?: ReadonlyMap<string, unknown>,
): string[] {
  if (!Array.isArray(tools)) throw new VakError("invalid-argument", "Grants must be a list of names of tools.");
  const more = tools.find((tool) => typeof tool !== "string" || !from.has(tool) || known?.has(tool) === false);
  if (more === undefined) return [...new Set(tools)].sort();
  const name = JSON.stringify(more);
  throw new VakError("invalid-argument", `${name} cannot be granted: there is no right to it here. Leave it out.`);
}
