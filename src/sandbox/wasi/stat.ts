/** The `filestat` of WASI preview 1, written into a guest's memory. */
import type { Stat } from "../fs/description.ts";
import type { GuestMemory } from "./memory.ts";

const FILESTAT_BYTES = 64;

export function writeStat(memory: GuestMemory, ptr: number, stat: Stat): void {
  const view = memory.view(ptr, FILESTAT_BYTES);
  view.setBigUint64(0, 1n, true);
  view.setBigUint64(8, stat.ino, true);
  view.setBigUint64(16, BigInt(stat.filetype), true);
  view.setBigUint64(24, stat.nlink, true);
  view.setBigUint64(32, BigInt(stat.size), true);
  view.setBigUint64(40, stat.accessed, true);
  view.setBigUint64(48, stat.modified, true);
  view.setBigUint64(56, stat.changed, true);
}
