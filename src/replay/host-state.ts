/** The host's half of a save point: files, and what the sandbox keeps for a process. */
import type { Volume, VolumeState } from "../sandbox/fs/volume.ts";
import type { Process, ProcessState } from "../sandbox/wasi/process.ts";
import type { Kept } from "./kept.ts";

/**
 * A deep copy of plain data and of objects that keep it in public fields; functions are shared. What a class keeps in
 * `#private` fields cannot be copied this way.
 *
 * @param same what takes the place of an object in the copy, or is shared; this adds to it
 */
function copyState<T>(value: T, bytes: (source: Uint8Array) => Uint8Array, same: Map<object, object>): T {
  const copy = (source: unknown): unknown => {
    if (typeof source !== "object" || source === null) return source;
    const known = same.get(source);
    if (known) return known;
    const note = <Made extends object>(made: Made): Made => {
      same.set(source, made);
      return made;
    };
    if (source instanceof Uint8Array) return note(bytes(source));
    if (source instanceof Map) {
      const made = note(new Map<unknown, unknown>());
      for (const [key, item] of source) made.set(key, copy(item));
      return made;
    }
    const made = note(Array.isArray(source) ? [] : Object.create(Object.getPrototypeOf(source)));
    for (const [key, item] of Object.entries(source)) made[key] = copy(item);
    return made;
  };
  return copy(value) as T;
}

/** What the sandbox keeps for a guest, apart from its instance. */
export interface Host {
  volume: VolumeState;
  process: ProcessState | undefined;
  /** Bytes that the run may still print. */
  remaining: number;
  /** All the bytes in it; other save points may share some of them. */
  held: Uint8Array[];
}

export function saveHost(volume: Volume, process: Process | undefined, kept: Kept): Host {
  const live = process?.save();
  live?.outlet.flush();
  const same = new Map<object, object>([[volume, volume]]);
  if (live) same.set(live.outlet, live.outlet);
  const held: Uint8Array[] = [];
  const hold = (bytes: Uint8Array) => {
    const copy = kept.copy(bytes);
    held.push(copy);
    return copy;
  };
  const copied = copyState({ volume: volume.save(), process: live }, hold, same);
  return { ...copied, remaining: live?.outlet.remaining ?? 0, held };
}

/** Restores a saved host state, except for the clock. The state of a process goes into a run that has begun. */
export function restoreHost(host: Host, volume: Volume, process: Process | undefined, kept: Kept): void {
  const same = new Map<object, object>([[volume, volume]]);
  const outlet = process?.save().outlet;
  if (outlet && host.process) {
    same.set(host.process.outlet, outlet);
    outlet.remaining = host.remaining;
  }
  const { volume: files, process: state } = copyState(
    { volume: host.volume, process: host.process },
    (bytes) => kept.revive(bytes),
    same,
  );
  volume.restore(files);
  if (state) process?.restore(state);
}
