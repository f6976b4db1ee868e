/**
 * An independent count of fuel: the module as text, one instruction per line, with a call before each that adds its
 * cost and traps over the limit. It shares nothing with the meter, and is slow.
 */
import { disassemble, wat } from "./assemble.ts";

const FREE = new Set(["nop", "drop", "block", "loop", "else", "end", "delegate", "return", "unreachable"]);
const BULK = /^(memory\.(copy|fill|init)|table\.(copy|fill|init|grow))$/;

const RUNTIME = `
  (global $oracle_used (mut i64) (i64.const 0))
  (global $oracle_limit (mut i64) (i64.const 0x7fffffffffffffff))
  (func $oracle_add (param i64)
    (global.set $oracle_used (i64.add (global.get $oracle_used) (local.get 0)))
    (if (i64.gt_s (global.get $oracle_used) (global.get $oracle_limit)) (then unreachable)))
  (func $oracle_tick (call $oracle_add (i64.const 1)))
  (func $oracle_bulk (param i32) (result i32) (call $oracle_add (i64.extend_i32_u (local.get 0))) (local.get 0))
  (func (export "oracle:used") (result f64) (f64.convert_i64_s (global.get $oracle_used)))
  (func (export "oracle:limit") (param f64) (global.set $oracle_limit (i64.trunc_f64_s (local.get 0))))
`;

/** The module with its work counted, and with the export `oracle:start` in place of its start section. */
export function countNaively(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const lines = disassemble(bytes).trimEnd().split("\n");
  const out: string[] = [];
  let inFunction = false;
  let entered = false;
  for (const line of lines) {
    if (/^ {2}\(func /.test(line)) {
      inFunction = true;
      entered = false;
    } else if (/^ {2}\(/.test(line)) inFunction = false;
    const start = /^ {2}\(start (\S+)\)(\)?)$/.exec(line);
    if (start) {
      out.push(`  (export "oracle:start" (func ${start[1]}))${start[2]}`);
      continue;
    }
    if (!inFunction) {
      out.push(line);
      continue;
    }
    if (/^ {2}\(func /.test(line) || /^ {4}\(local/.test(line)) {
      // An empty function ends on its header or on its locals.
      const closed = /\)\)$/.test(line) || (line.match(/\(/g)?.length ?? 0) < (line.match(/\)/g)?.length ?? 0);
      out.push(closed ? `${line.slice(0, -1)} call $oracle_tick)` : line);
      continue;
    }
    if (/^\s*\(catch/.test(line)) {
      // A clause of the try_table above.
      out.push(line);
      continue;
    }
    if (!entered) out.push("call $oracle_tick");
    entered = true;
    const op = /^\s*([\w.]+)/.exec(line)![1]!;
    if (op === "catch" || op === "catch_all") {
      out.push(line, "call $oracle_tick");
      continue;
    }
    if (BULK.test(op)) out.push("call $oracle_bulk");
    if (!FREE.has(op)) out.push("call $oracle_tick");
    out.push(line);
  }
  const text = out.join("\n");
  return wat(`${text.slice(0, text.lastIndexOf(")"))}\n${RUNTIME})`);
}
