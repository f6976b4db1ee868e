/** Programs for the benchmarks alone, as WebAssembly text. */

/** How many calls `call-add` and `call-wipe` make. */
export const CALLS = 1000;

const write = `(func $say (param $at i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (i32.const 2))
    (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable)))`;

/** Prints a line, calls a tool {@link CALLS} times and reads each answer, prints another line. */
const caller = (request: string) => `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "vak" "call" (func $call (param i32 i32) (result i32)))
  (import "vak" "answer" (func $answer (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "<\\n>\\n")
  (data (i32.const 64) ${JSON.stringify(request).replaceAll('\\"', "\\22")})
  ${write}
  (func (export "_start") (local $left i32)
    (call $say (i32.const 16))
    (local.set $left (i32.const ${CALLS}))
    (loop $again
      (if (i32.lt_s (call $call (i32.const 64) (i32.const ${request.length})) (i32.const 0)) (then unreachable))
      (if (i32.lt_s (call $answer (i32.const 1024)) (i32.const 0)) (then unreachable))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (call $say (i32.const 18))))`;

export const programs = {
  "call-add": caller('{"tool":"add","input":{"a":1,"b":2}}'),
  "call-wipe": caller('{"tool":"wipe","input":{"path":"/"}}'),
  /** Prints a line, then never ends. */
  "say-and-spin": `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "<\\n")
  ${write}
  (func (export "_start") (local $n i64)
    (call $say (i32.const 16))
    (loop $again
      (local.set $n (i64.add (local.get $n) (i64.const 1)))
      (i64.store (i32.const 32) (local.get $n))
      (br $again))))`,
  /** Counts in shared memory forever, unmetered, so that a page can see that its worker still spins. */
  "shared-spin": `(module
  (import "env" "memory" (memory 1 1 shared))
  (func (export "spin") (local $n i32)
    (loop $again
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (i32.atomic.store (i32.const 0) (local.get $n))
      (br $again))))`,
};
