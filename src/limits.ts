/** The limits of an agent: their units, defaults and ranges. */
import { VakError } from "./errors.ts";

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

/** Every limit is finite; a run that would exceed one is stopped, not slowed. */
export interface Limits {
  /** Units of deterministic work a run may do (see `docs/limits.md`). */
  fuel: number;
  /** Bytes of linear memory, rounded down to whole 64 KiB pages. */
  memoryBytes: number;
  /** Elements a table may hold. */
  tableElements: number;
  /** Depth of the guest's call stack, in words. */
  stackDepth: number;
  /** Milliseconds of wall-clock time a run may take. */
  deadlineMs: number;
  /** Bytes a run may write to stdout and stderr together. */
  outputBytes: number;
  /** Bytes the agent's files may hold together. */
  fileBytes: number;
  /** Names the agent may have: of files, directories and links. */
  fileCount: number;
  /** Descriptors a run may hold open at once, including the standard three and the root. */
  openFiles: number;
  /** Calls a run may make, including malformed and denied ones. */
  calls: number;
  /** Bytes of one call's request, and of one call's answer, as UTF-8 JSON. */
  callBytes: number;
}

export type LimitName = keyof Limits;

interface Range {
  /** Applies when the caller gives none. */
  default: number;
  min: number;
  max: number;
}

/** In the units of {@link Limits}. The maxima are what the formats and the browsers can handle. */
export const LIMIT_RANGES: Readonly<Record<LimitName, Range>> = {
  fuel: { default: 50e9, min: 1, max: Number.MAX_SAFE_INTEGER },
  memoryBytes: { default: 256 * MiB, min: 64 * KiB, max: 4 * GiB },
  tableElements: { default: 100_000, min: 1, max: 10_000_000 },
  stackDepth: { default: 30_000, min: 100, max: 40_000 },
  deadlineMs: { default: 60_000, min: 1, max: 2 ** 31 - 1 },
  outputBytes: { default: 16 * MiB, min: 1, max: 1 * GiB },
  fileBytes: { default: 64 * MiB, min: 1, max: 2 * GiB },
  fileCount: { default: 4096, min: 1, max: 1_000_000 },
  openFiles: { default: 256, min: 4, max: 65_536 },
  calls: { default: 1000, min: 1, max: 1_000_000 },
  callBytes: { default: 1 * MiB, min: 64, max: 64 * MiB },
};

export const LIMIT_NAMES = Object.keys(LIMIT_RANGES) as LimitName[];

/** The limits that apply when `spawn` is given none. */
export const DEFAULT_LIMITS: Readonly<Limits> = Object.freeze(
  Object.fromEntries(LIMIT_NAMES.map((name) => [name, LIMIT_RANGES[name].default])) as unknown as Limits,
);

/**
 * Fills in defaults, and refuses anything but whole numbers in range.
 *
 * @throws VakError `invalid-limit` naming the limit, its range and the value given
 */
export function resolveLimits(given: Partial<Limits> = {}): Readonly<Limits> {
  const limits = { ...DEFAULT_LIMITS };
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(LIMIT_RANGES, name)) {
      throw new VakError("invalid-limit", `There is no limit "${name}". The limits are: ${LIMIT_NAMES.join(", ")}.`);
    }
    if (value === undefined) continue;
    const { min, max } = LIMIT_RANGES[name as LimitName];
    if (!Number.isSafeInteger(value) || value < min || value > max) {
      throw new VakError(
        "invalid-limit",
        `limits.${name} is ${String(value)}; give a whole number from ${min} to ${max}. Every limit is finite.`,
      );
    }
    limits[name as LimitName] = value;
  }
  return Object.freeze(limits);
}
