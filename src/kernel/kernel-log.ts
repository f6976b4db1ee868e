/** The log as the page may use it: it reads, signs and exports, and only the kernel writes. */
import type { AuditLog } from "../log/log.ts";

export type KernelLog = Pick<
  AuditLog,
  | "name"
  | "origin"
  | "vkey"
  | "size"
  | "failed"
  | "writing"
  | "writable"
  | "status"
  | "checkpoint"
  | "rotate"
  | "export"
  | "exportStream"
  | "exportTo"
  | "entries"
  | "value"
  | "erase"
  | "prove"
  | "consistency"
>;
