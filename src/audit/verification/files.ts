/** The files of a bundle as a verification reads them: each once, so that what the log does not mention is noticed. */
import { VakError } from "../../errors.ts";
import { type Bundle, isBundlePath, valuePath, valueSeq } from "../bundle.ts";
import type { Findings } from "./findings.ts";

/** As {@link Bundle}; what is in memory need not be awaited. */
export interface Source {
  paths(): ReturnType<Bundle["paths"]> | Iterable<string>;
  read(path: string, maxBytes: number): ReturnType<Bundle["read"]> | Uint8Array | undefined;
}

export function sourceOf(bundle: Bundle | ReadonlyMap<string, Uint8Array>): Source {
  if (!isMap(bundle)) return bundle;
  return {
    paths: () => bundle.keys(),
    read(path, maxBytes) {
      const bytes = bundle.get(path);
      if (bytes && bytes.length > maxBytes) throw new VakError("invalid-bundle", `It has more than ${maxBytes} bytes.`);
      return bytes;
    },
  };
}

function isMap(bundle: Bundle | ReadonlyMap<string, Uint8Array>): bundle is ReadonlyMap<string, Uint8Array> {
  return bundle instanceof Map;
}

export class Files {
  readonly #source: Source;
  readonly #findings: Findings;
  /** Files that the log has not mentioned yet. */
  readonly #unread = new Set<string>();
  /** The values among them, by the `seq` of their entries: there are many. */
  readonly #unreadValues = new Set<number>();

  constructor(source: Source, findings: Findings) {
    this.#source = source;
    this.#findings = findings;
  }

  /** Lists the files. This comes first. */
  async list(): Promise<void> {
    for (const path of await this.#source.paths()) {
      const seq = valueSeq(path);
      if (seq !== undefined) this.#unreadValues.add(seq);
      else if (isBundlePath(path)) this.#unread.add(path);
      else this.#findings.add(JSON.stringify(path), "this is not a path that a bundle may hold");
    }
  }

  /** Whether there is such a file that was not read yet. */
  has(path: string): boolean {
    return this.#unread.has(path);
  }

  /** The file's bytes, if there is one; if it cannot be read, that is a problem. */
  async read(path: string, maxBytes: number): Promise<Uint8Array | undefined> {
    this.#unread.delete(path);
    try {
      return await this.#source.read(path, maxBytes);
    } catch (error) {
      this.#findings.addError(path, error);
      return undefined;
    }
  }

  /** As {@link read}, for a file that must be there. */
  async require(path: string, maxBytes: number): Promise<Uint8Array | undefined> {
    const there = this.#unread.has(path);
    const bytes = await this.read(path, maxBytes);
    if (!bytes && !there) this.#findings.add(path, "the file is missing");
    return bytes;
  }

  /** Marks the value of an entry as mentioned; false when there is none. */
  takeValue(seq: number): boolean {
    return this.#unreadValues.delete(seq);
  }

  /** The file of a value, without waiting where it is in memory: there are many. */
  readValue(seq: number, maxBytes: number): ReturnType<Source["read"]> {
    return this.#source.read(valuePath(seq), maxBytes);
  }

  /** Paths of the files that were not read. */
  unread(): string[] {
    return [...this.#unread, ...Array.from(this.#unreadValues, valuePath)];
  }
}
