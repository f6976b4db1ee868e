/** Programs that attack their sandbox, each with the safe outcome that it must have. */

import { wasi } from "@bjorn3/browser_wasi_shim";
import type { Limits, RunResult } from "../../../src/index.ts";
import { WASI_IMPORTS } from "../../../src/sandbox/wasi/imports.ts";
import { binary, section, wat } from "../../unit/meter/assemble.ts";

export interface Attack {
  /** What it tries. */
  name: string;
  program: () => Uint8Array<ArrayBuffer>;
  limits?: Partial<Limits>;
  /** How its run must end; or, as a pattern, why its spawn must be refused. */
  safe: Partial<RunResult> | RegExp;
  stdout?: string;
}

const PREVIEW1 = WASI_IMPORTS.wasi_snapshot_preview1!;
const VAK = WASI_IMPORTS.vak!;

/** A program with some functions of WASI or vak, by name; what `main` leaves on the stack is its exit code. */
function program(
  names: string,
  main: string,
  rest = "",
  memory = '(memory (export "memory") 1)',
): Uint8Array<ArrayBuffer> {
  const imports = [...new Set(["proc_exit", ...names.split(" ").filter(Boolean)])].map((name) => {
    const { params, result } = (PREVIEW1[name] ?? VAK[name])!;
    const types = [...params].map((type) => (type === "I" ? "i64" : "i32")).join(" ");
    const from = PREVIEW1[name] ? "wasi_snapshot_preview1" : "vak";
    return `(import "${from}" "${name}" (func $${name} (param ${types}) ${result ? "(result i32)" : ""}))`;
  });
  return wat(`(module ${imports.join("\n")} ${memory} ${rest}
    (func (export "_start") (local $i i32) (local $n i32) (call $proc_exit ${main})))`);
}

/** A module written out, whose `_start` does as it says. */
const module = (text: string) => () => wat(`(module ${text})`);
const start = (code: string, rest = "") => module(`${rest} (func (export "_start") ${code})`);

const FUEL = { fuel: 3_000_000 };
const spent = { status: "stopped", limit: "fuel" } as const;
const exited = (...codes: number[]) => ({ status: "exited", exitCode: codes[0]! }) as const;
const trapped = (trap: string) => ({ status: "trapped", trap }) as Partial<RunResult>;

const cpu: Attack[] = [
  { name: "loops with nothing in it", program: start("(loop (br 0))"), limits: FUEL, safe: spent },
  { name: "loops by br_table", program: start("(loop (br_table 0 0 0 (i32.const 9)))"), limits: FUEL, safe: spent },
  {
    name: "loops in its start function",
    program: module('(func $s (loop (br 0))) (start $s) (func (export "_start"))'),
    limits: FUEL,
    safe: spent,
  },
  {
    name: "calls itself by tail calls",
    program: module('(func $f (export "_start") (return_call $f))'),
    limits: FUEL,
    safe: spent,
  },
  {
    name: "catches all, for ever",
    program: start("(loop (try (do (throw $t)) (catch_all)) (br 0))", "(tag $t)"),
    limits: { fuel: 100_000 }, // a throw takes Firefox 30 µs
    safe: spent,
  },
  {
    name: "catches all around a loop",
    program: start("(loop (try (do (loop (br 0))) (catch_all)) (br 0))"),
    limits: FUEL,
    safe: spent,
  },
  {
    name: "calls functions that call functions, to the power of 20",
    program: module(
      `${Array.from({ length: 20 }, (_, i) => `(func $f${i} (call $f${i + 1}) (call $f${i + 1}))`).join("")} (func $f20) (func (export "_start") (loop (call $f0) (br 0)))`,
    ),
    limits: FUEL,
    safe: spent,
  },
  {
    name: "fills memory for ever",
    program: start("(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br 0))", "(memory 1)"),
    limits: FUEL,
    safe: spent,
  },
  {
    name: "copies memory of no length for ever",
    program: start("(loop (memory.copy (i32.const 0) (i32.const 0) (i32.const 0)) (br 0))", "(memory 1)"),
    limits: FUEL,
    safe: spent,
  },
  {
    name: "asks for the time for ever",
    program: () =>
      program(
        "clock_time_get",
        "(i32.const 0) (loop (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 0))) (br 0))",
      ),
    limits: { fuel: 300_000 },
    safe: spent,
  },
  {
    name: "yields for ever",
    program: () => program("sched_yield", "(i32.const 0) (loop (drop (call $sched_yield)) (br 0))"),
    limits: { fuel: 300_000 },
    safe: spent,
  },
  {
    name: "polls without waiting, for ever",
    program: () =>
      program(
        "poll_oneoff",
        "(i32.const 0) (loop (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))) (br 0))",
        '(data (i32.const 16) "\\01")',
      ),
    limits: { fuel: 300_000 },
    safe: spent,
  },
  {
    name: "sleeps for 584 years",
    program: () =>
      program(
        "poll_oneoff",
        "(call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))",
        '(data (i32.const 16) "\\01") (data (i32.const 24) "\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\ff")',
      ),
    limits: { deadlineMs: 200 },
    safe: { status: "stopped", limit: "deadline" },
  },
  {
    name: "draws random bytes for ever",
    program: () =>
      program("random_get", "(i32.const 0) (loop (drop (call $random_get (i32.const 0) (i32.const 65536))) (br 0))"),
    limits: { deadlineMs: 300 },
    safe: { status: "stopped", limit: "deadline" },
  },
  { name: "recurses without end", program: module('(func $f (export "_start") (call $f))'), safe: trapped("stack") },
  {
    name: "recurses through a table",
    program: module(
      '(table 1 funcref) (elem (i32.const 0) $f) (func $f (export "_start") (call_indirect (i32.const 0)))',
    ),
    safe: trapped("stack"),
  },
  {
    name: "recurses with a thousand locals",
    program: module(`(func $f (export "_start") (local ${"i64 ".repeat(1000)}) (call $f))`),
    safe: trapped("stack"),
  },
  {
    name: "recurses and catches its end",
    program: module('(func $f (try (do (call $f)) (catch_all (loop (br 0))))) (func (export "_start") (call $f))'),
    limits: { ...FUEL, deadlineMs: 60_000 },
    safe: trapped("stack"),
  },
];

const grown = (code: string) => `(i32.ne (i32.const -1) ${code})`;
const memory: Attack[] = [
  {
    name: "grows to 4 GiB at once",
    program: () => program("", grown("(memory.grow (i32.const 65535))")),
    safe: exited(0),
  },
  {
    name: "grows by the largest i32",
    program: () => program("", grown("(memory.grow (i32.const -1))")),
    safe: exited(0),
  },
  {
    name: "grows a page at a time, past its limit",
    program: () =>
      program(
        "",
        "(i32.const 0) (loop (br_if 0 (i32.ne (i32.const -1) (memory.grow (i32.const 1))))) (drop) (memory.size)",
      ),
    limits: { memoryBytes: 2 ** 20 },
    safe: exited(16),
  },
  {
    name: "declares a maximum of 4 GiB, and grows to it",
    program: () => program("", grown("(memory.grow (i32.const 4096))"), "", '(memory (export "memory") 1 65536)'),
    safe: exited(0),
  },
  {
    name: "begins with more than it may have",
    program: module('(memory 4097) (func (export "_start"))'),
    safe: /memory/,
  },
  { name: "begins with 4 GiB", program: module('(memory 65536) (func (export "_start"))'), safe: /memory/ },
  {
    name: "begins with two memories that are too large together",
    program: module('(memory 2048) (memory 2049) (func (export "_start"))'),
    safe: /memor/,
  },
  { name: "shares its memory", program: module('(memory 1 1 shared) (func (export "_start"))'), safe: /shared/ },
  {
    name: "imports a memory",
    program: module('(import "env" "memory" (memory 1)) (func (export "_start"))'),
    safe: /memory/,
  },
  {
    name: "reads past the end",
    program: start("(drop (i32.load (i32.const 65533)))", "(memory 1)"),
    safe: trapped("out-of-bounds"),
  },
  {
    name: "reads at the end of the address space",
    program: start("(drop (i64.load offset=4294967295 (i32.const -1)))", "(memory 1)"),
    safe: trapped("out-of-bounds"),
  },
  {
    name: "writes before the start",
    program: start("(i32.store (i32.const -4) (i32.const 1))", "(memory 1)"),
    safe: trapped("out-of-bounds"),
  },
  {
    name: "fills past the end",
    program: start("(memory.fill (i32.const 1) (i32.const 1) (i32.const 65536))", "(memory 1)"),
    safe: trapped("out-of-bounds"),
  },
  {
    name: "copies from past the end",
    program: start("(memory.copy (i32.const 0) (i32.const 65535) (i32.const 2))", "(memory 1)"),
    safe: trapped("out-of-bounds"),
  },
  {
    name: "has data that lies outside",
    program: module('(memory 1) (data (i32.const 65535) "ab") (func (export "_start"))'),
    safe: trapped("out-of-bounds"),
  },
  {
    name: "uses data that it has dropped",
    program: start("(data.drop 0) (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 1))", '(memory 1) (data "a")'),
    safe: trapped("out-of-bounds"),
  },
];

const tables: Attack[] = [
  {
    name: "grows a table past its limit",
    program: () =>
      program("", "(i32.ne (i32.const -1) (table.grow 0 (ref.null func) (i32.const 100000)))", "(table 1 funcref)"),
    safe: exited(0),
  },
  {
    name: "grows a table by the largest i32",
    program: () =>
      program("", "(i32.ne (i32.const -1) (table.grow 0 (ref.null func) (i32.const -1)))", "(table 0 funcref)"),
    safe: exited(0),
  },
  {
    name: "grows a table of references to the host",
    program: () =>
      program("", "(i32.ne (i32.const -1) (table.grow 0 (ref.null extern) (i32.const 100001)))", "(table 0 externref)"),
    safe: exited(0),
  },
  {
    name: "begins with a table of 4 billion",
    program: module('(table 4294967295 funcref) (func (export "_start"))'),
    safe: /./,
  },
  {
    name: "begins with one element too many",
    program: module('(table 100001 funcref) (func (export "_start"))'),
    safe: /table/,
  },
  {
    name: "imports a table",
    program: module('(import "env" "t" (table 1 funcref)) (func (export "_start"))'),
    safe: /table/,
  },
  {
    name: "calls past the end of a table",
    program: start("(call_indirect (i32.const 7))", "(table 1 funcref)"),
    safe: trapped("out-of-bounds"),
  },
  {
    name: "calls a null in a table",
    program: start("(call_indirect (i32.const 0))", "(table 1 funcref)"),
    safe: trapped("indirect-call"),
  },
  {
    name: "calls a function with the wrong type",
    program: start(
      "(drop (call_indirect (param i64) (result i32) (i64.const 1) (i32.const 0)))",
      "(table 1 funcref) (elem (i32.const 0) $f) (func $f)",
    ),
    safe: trapped("indirect-call"),
  },
  {
    name: "has elements that lie outside",
    program: module('(table 1 funcref) (elem (i32.const 1) $f) (func $f (export "_start"))'),
    safe: trapped("out-of-bounds"),
  },
  {
    name: "copies past the end of a table",
    program: start("(table.copy (i32.const 0) (i32.const 1) (i32.const 1))", "(table 1 funcref)"),
    safe: trapped("out-of-bounds"),
  },
  {
    name: "fills past the end of a table",
    program: start("(table.fill 0 (i32.const 0) (ref.null func) (i32.const 2))", "(table 1 funcref)"),
    safe: trapped("out-of-bounds"),
  },
  {
    name: "sets past the end of a table",
    program: start("(table.set 0 (i32.const 1) (ref.null func))", "(table 1 funcref)"),
    safe: trapped("out-of-bounds"),
  },
];

/** iovs at 0: a buffer of so many bytes at 1024. */
const iov = (length: number) =>
  `(data (i32.const 0) "\\00\\04\\00\\00\\${[length & 255, (length >> 8) & 255, (length >> 16) & 255, (length >>> 24) & 255].map((it) => it.toString(16).padStart(2, "0")).join("\\")}")`;
const write = (fd: number, count = 1) =>
  `(call $fd_write (i32.const ${fd}) (i32.const 0) (i32.const ${count}) (i32.const 512))`;
const halted = { status: "stopped", limit: "output" } as const;
const output: Attack[] = [
  {
    name: "floods stdout",
    program: () => program("fd_write", `(i32.const 0) (loop (drop ${write(1)}) (br 0))`, iov(60_000)),
    limits: { outputBytes: 10_000 },
    safe: halted,
  },
  {
    name: "floods stderr",
    program: () => program("fd_write", `(i32.const 0) (loop (drop ${write(2)}) (br 0))`, iov(60_000)),
    limits: { outputBytes: 10_000 },
    safe: halted,
  },
  {
    name: "floods by single bytes, in turn to each",
    program: () => program("fd_write", `(i32.const 0) (loop (drop ${write(1)}) (drop ${write(2)}) (br 0))`, iov(1)),
    limits: { outputBytes: 10_000 },
    safe: halted,
  },
  {
    name: "floods and catches what stops it",
    program: () =>
      program("fd_write", `(i32.const 0) (loop (try (do (drop ${write(1)})) (catch_all)) (br 0))`, iov(60_000)),
    limits: { outputBytes: 10_000 },
    safe: halted,
  },
  {
    name: "writes nothing, for ever",
    program: () => program("fd_write", `(i32.const 0) (loop (drop ${write(1)}) (br 0))`, iov(0)),
    limits: { fuel: 100_000 },
    safe: spent,
  },
  {
    name: "writes a buffer outside its memory",
    program: () => program("fd_write", write(1), iov(0x7fff_ffff)),
    safe: exited(wasi.ERRNO_FAULT),
    stdout: "",
  },
  {
    name: "gathers the same memory over and over into one write",
    program: () =>
      program(
        "fd_write",
        `(i32.const 0) (loop (i64.store (i32.mul (local.get $i) (i32.const 8)) (i64.const 0xffff00000000)) (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1024)))) (drop) ${write(1, 1024)}`,
      ),
    safe: exited(wasi.ERRNO_INVAL),
    stdout: "",
  },
  {
    name: "gathers more pieces than allowed",
    program: () => program("fd_write", write(1, 1025)),
    safe: exited(wasi.ERRNO_INVAL),
  },
  {
    name: "writes to a stream that it has closed",
    program: () => program("fd_write fd_close", `(drop (call $fd_close (i32.const 1))) ${write(1)}`, iov(5)),
    safe: exited(wasi.ERRNO_BADF),
    stdout: "",
  },
  {
    name: "puts a file in the place of stdout, and closes it",
    program: () =>
      program(
        "fd_write fd_renumber fd_close",
        `(drop (call $fd_renumber (i32.const 3) (i32.const 1))) (drop (call $fd_close (i32.const 1))) ${write(1)}`,
        iov(5),
      ),
    safe: exited(wasi.ERRNO_BADF),
    stdout: "",
  },
  {
    name: "writes to stdin",
    program: () => program("fd_write", write(0), iov(5)),
    safe: exited(wasi.ERRNO_BADF),
    stdout: "",
  },
];

/** Opens the path that lies at 2048, with flags. */
const open = (length: number, oflags = 1, rights = "0x8e001ff") =>
  `(call $path_open (i32.const 3) (i32.const 1) (i32.const 2048) (i32.const ${length}) (i32.const ${oflags}) (i64.const ${rights}) (i64.const 0) (i32.const 0) (i32.const 600))`;
const text = (at: number, value: string) =>
  `(data (i32.const ${at}) "${[...new TextEncoder().encode(value)].map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("")}")`;
const files: Attack[] = [
  {
    name: "writes more than it may store",
    program: () =>
      program(
        "path_open fd_write",
        `(drop ${open(1)}) (loop (br_if 0 (i32.eqz (local.tee $n (call $fd_write (i32.load (i32.const 600)) (i32.const 0) (i32.const 1) (i32.const 512)))))) (local.get $n)`,
        iov(60_000) + text(2048, "f"),
      ),
    limits: { fileBytes: 1_000_000 },
    safe: exited(wasi.ERRNO_NOSPC),
  },
  {
    name: "makes a file with a hole of exabytes",
    program: () =>
      program(
        "path_open fd_pwrite",
        `(drop ${open(1)}) (call $fd_pwrite (i32.load (i32.const 600)) (i32.const 0) (i32.const 1) (i64.const 0x4000000000000000) (i32.const 512))`,
        iov(1) + text(2048, "f"),
      ),
    safe: exited(wasi.ERRNO_FBIG),
  },
  {
    name: "allocates a terabyte",
    program: () =>
      program(
        "path_open fd_allocate",
        `(drop ${open(1)}) (call $fd_allocate (i32.load (i32.const 600)) (i64.const 0) (i64.const 0x10000000000))`,
        text(2048, "f"),
      ),
    safe: exited(wasi.ERRNO_NOSPC),
  },
  {
    name: "sets a size of -1",
    program: () =>
      program(
        "path_open fd_filestat_set_size",
        `(drop ${open(1)}) (call $fd_filestat_set_size (i32.load (i32.const 600)) (i64.const -1))`,
        text(2048, "f"),
      ),
    safe: exited(wasi.ERRNO_FBIG),
  },
  {
    name: "seeks before the start",
    program: () =>
      program(
        "path_open fd_seek",
        `(drop ${open(1)}) (call $fd_seek (i32.load (i32.const 600)) (i64.const -1) (i32.const 0) (i32.const 512))`,
        text(2048, "f"),
      ),
    safe: exited(wasi.ERRNO_INVAL),
  },
  {
    name: "opens without end",
    program: () =>
      program("path_open", `(loop (br_if 0 (i32.eqz (local.tee $n ${open(1)})))) (local.get $n)`, text(2048, "f")),
    safe: exited(wasi.ERRNO_MFILE),
  },
  {
    name: "makes directories in directories",
    program: () =>
      program(
        "path_create_directory",
        `(loop (i32.store16 (i32.add (i32.const 2048) (i32.mul (local.get $i) (i32.const 2))) (i32.const 0x2f64)) (br_if 0 (i32.eqz (local.tee $n (call $path_create_directory (i32.const 3) (i32.const 2048) (i32.mul (i32.const 2) (local.tee $i (i32.add (local.get $i) (i32.const 1))))))))) (local.get $n)`,
      ),
    safe: exited(wasi.ERRNO_NAMETOOLONG),
  },
  {
    name: "makes names without end",
    program: () =>
      program(
        "path_create_directory",
        `(loop (i32.store (i32.const 2048) (i32.add (i32.const 0x61616161) (i32.add (i32.and (local.get $i) (i32.const 15)) (i32.shl (i32.and (i32.shr_u (local.get $i) (i32.const 4)) (i32.const 15)) (i32.const 8))))) (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if 0 (i32.eqz (local.tee $n (call $path_create_directory (i32.const 3) (i32.const 2048) (i32.const 4)))))) (local.get $n)`,
      ),
    limits: { fileCount: 100 },
    safe: exited(wasi.ERRNO_NOSPC),
  },
  {
    name: "makes links to one file without end",
    program: () =>
      program(
        "path_open path_link",
        `(drop ${open(1)}) (loop (i32.store8 (i32.const 3000) (i32.add (i32.const 65) (local.get $i))) (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if 0 (i32.eqz (local.tee $n (call $path_link (i32.const 3) (i32.const 0) (i32.const 2048) (i32.const 1) (i32.const 3) (i32.const 3000) (i32.const 1)))))) (local.get $n)`,
        text(2048, "f"),
      ),
    limits: { fileCount: 20 },
    safe: exited(wasi.ERRNO_NOSPC),
  },
  {
    name: "makes long links without end",
    program: () =>
      program(
        "path_symlink",
        `(memory.fill (i32.const 4096) (i32.const 97) (i32.const 4096)) (loop (i32.store8 (i32.const 3000) (i32.add (i32.const 65) (local.get $i))) (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if 0 (i32.eqz (local.tee $n (call $path_symlink (i32.const 4096) (i32.const 4096) (i32.const 3) (i32.const 3000) (i32.const 1)))))) (local.get $n)`,
      ),
    limits: { fileBytes: 50_000 },
    safe: exited(wasi.ERRNO_NOSPC),
  },
  {
    name: "keeps unlinked files open, over and over",
    program: () =>
      program(
        "path_open fd_allocate path_unlink_file",
        `(loop (drop ${open(1)}) (local.set $n (call $fd_allocate (i32.load (i32.const 600)) (i64.const 0) (i64.const 100000))) (drop (call $path_unlink_file (i32.const 3) (i32.const 2048) (i32.const 1))) (br_if 0 (i32.eqz (local.get $n)))) (local.get $n)`,
        text(2048, "f"),
      ),
    limits: { fileBytes: 1_000_000 },
    safe: exited(wasi.ERRNO_NOSPC),
  },
  {
    name: "removes the kernel's device",
    program: () =>
      program(
        "path_unlink_file",
        "(call $path_unlink_file (i32.const 3) (i32.const 2048) (i32.const 7))",
        text(2048, "dev/vak"),
      ),
    safe: exited(wasi.ERRNO_ACCES),
  },
  {
    name: "puts a file beside the kernel's device",
    program: () => program("path_open", open(5), text(2048, "dev/x")),
    safe: exited(wasi.ERRNO_ACCES),
  },
  {
    name: "moves the kernel's directory",
    program: () =>
      program(
        "path_rename",
        "(call $path_rename (i32.const 3) (i32.const 2048) (i32.const 3) (i32.const 3) (i32.const 2052) (i32.const 1))",
        text(2048, "dev") + text(2052, "x"),
      ),
    safe: exited(wasi.ERRNO_ACCES),
  },
  {
    name: "puts its own directory in the place of the kernel's",
    program: () =>
      program(
        "path_create_directory path_rename",
        "(drop (call $path_create_directory (i32.const 3) (i32.const 2052) (i32.const 1))) (call $path_rename (i32.const 3) (i32.const 2052) (i32.const 1) (i32.const 3) (i32.const 2048) (i32.const 3))",
        text(2048, "dev") + text(2052, "x"),
      ),
    safe: exited(wasi.ERRNO_ACCES),
  },
  {
    name: "moves a directory into itself",
    program: () =>
      program(
        "path_create_directory path_rename",
        "(drop (call $path_create_directory (i32.const 3) (i32.const 2048) (i32.const 1))) (call $path_rename (i32.const 3) (i32.const 2048) (i32.const 1) (i32.const 3) (i32.const 2048) (i32.const 3))",
        text(2048, "d/x"),
      ),
    safe: exited(wasi.ERRNO_INVAL),
  },
  {
    name: "removes the root",
    program: () =>
      program(
        "path_remove_directory",
        "(call $path_remove_directory (i32.const 3) (i32.const 2048) (i32.const 1))",
        text(2048, "."),
      ),
    safe: exited(wasi.ERRNO_INVAL),
  },
];

const leaving: [name: string, path: string | number[], errno: number][] = [
  ["..", "..", wasi.ERRNO_NOTCAPABLE],
  ["../ and a name", "../x", wasi.ERRNO_NOTCAPABLE],
  [".. after a directory", "dev/../../x", wasi.ERRNO_NOTCAPABLE],
  [".. many times", "../../../../../../etc/passwd", wasi.ERRNO_NOTCAPABLE],
  ["./..", "./..", wasi.ERRNO_NOTCAPABLE],
  ["slashes and ..", ".//..//x", wasi.ERRNO_NOTCAPABLE],
  ["an absolute path", "/etc/passwd", wasi.ERRNO_NOTCAPABLE],
  ["the root itself", "/", wasi.ERRNO_NOTCAPABLE],
  ["two slashes", "//host/share", wasi.ERRNO_NOTCAPABLE],
  ["no path", "", wasi.ERRNO_NOENT],
  ["a NUL in it", "a\0/../x", wasi.ERRNO_INVAL],
  ["a NUL at its end", "a\0", wasi.ERRNO_INVAL],
  ["overlong UTF-8 of ..", [0xc0, 0xae, 0xc0, 0xae, 0x2f, 0x78], wasi.ERRNO_ILSEQ],
  ["overlong UTF-8 of /", [0x2e, 0x2e, 0xc0, 0xaf, 0x78], wasi.ERRNO_ILSEQ],
  ["half a surrogate", [0xed, 0xa0, 0x80], wasi.ERRNO_ILSEQ],
  ["Latin-1", [0x61, 0xe4], wasi.ERRNO_ILSEQ],
  ["a byte order mark and ..", [0xef, 0xbb, 0xbf, 0x2e, 0x2e, 0x2f, 0x78], wasi.ERRNO_NOENT],
  ["a file as a directory", "dev/vak/../../../x", wasi.ERRNO_NOTDIR],
  ["a name of 256 bytes", "x".repeat(256), wasi.ERRNO_NAMETOOLONG],
  ["5,000 bytes", "a/".repeat(2500), wasi.ERRNO_NAMETOOLONG],
  ["__proto__ as a directory", "__proto__/x", wasi.ERRNO_NOENT],
  ["constructor as a directory", "constructor/prototype", wasi.ERRNO_NOENT],
];
const paths: Attack[] = [
  ...leaving.map(([name, path, errno]): Attack => {
    const bytes = typeof path === "string" ? [...new TextEncoder().encode(path)] : path;
    const data = `(data (i32.const 2048) "${bytes.map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("")}")`;
    return {
      name: `opens ${name}`,
      program: () => program("path_open", open(bytes.length), data),
      safe: exited(errno),
    };
  }),
  ...["/etc/passwd", "../x", "../../dev/vak", "..", "dev/../../x"].map((target): Attack => {
    const link = `(local.set $n (call $path_symlink (i32.const 3000) (i32.const ${target.length}) (i32.const 3) (i32.const 2048) (i32.const 1)))`;
    const code = `${link} (if (result i32) (local.get $n) (then (local.get $n)) (else ${open(1, 0)}))`;
    return {
      name: `opens a link to ${target}`,
      program: () => program("path_symlink path_open", code, text(2048, "l") + text(3000, target)),
      safe: exited(wasi.ERRNO_NOTCAPABLE),
    };
  }),
  {
    name: "opens a link to itself",
    program: () =>
      program(
        "path_symlink path_open",
        `(drop (call $path_symlink (i32.const 2048) (i32.const 1) (i32.const 3) (i32.const 2048) (i32.const 1))) ${open(1, 0)}`,
        text(2048, "l"),
      ),
    safe: exited(wasi.ERRNO_LOOP),
  },
  {
    name: "leaves a directory that it opened by ..",
    program: () =>
      program(
        "path_create_directory path_open",
        `(drop (call $path_create_directory (i32.const 3) (i32.const 2048) (i32.const 1))) (drop ${open(1, 2, "0")}) (call $path_open (i32.load (i32.const 600)) (i32.const 1) (i32.const 3000) (i32.const 4) (i32.const 1) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 600))`,
        text(2048, "d") + text(3000, "../x"),
      ),
    safe: exited(wasi.ERRNO_NOTCAPABLE),
  },
];

/** Each function of WASI, with every argument at an edge: none may succeed with -1, or trap, or be seen outside. */
const pointers: Attack[] = Object.entries({ ...PREVIEW1, ...VAK })
  .filter(([name]) => !["proc_exit", "sched_yield"].includes(name))
  .flatMap(([name, { params }]) => {
    const call = (value: number) =>
      `(call $${name} ${[...params].map((type) => `(${type === "I" ? "i64" : "i32"}.const ${value})`).join(" ")})`;
    return [
      {
        name: `${name} with -1 for every argument`,
        program: () => program(name, `(i32.eqz ${call(-1)})`),
        safe: exited(0),
      },
      {
        name: `${name} without a memory`,
        program: () => program(name, `(drop ${call(0)}) (drop ${call(65_536)}) (i32.eqz ${call(-1)})`, "", ""),
        safe: exited(0),
      },
    ];
  });

const exits: Attack[] = [
  {
    name: "exits with a code above the maximum",
    program: () => program("", "(i32.const -1)"),
    safe: exited(0xffff_ffff),
  },
  {
    name: "exits in its start function",
    program: module(
      '(import "wasi_snapshot_preview1" "proc_exit" (func $e (param i32))) (func $s (call $e (i32.const 9))) (start $s) (func (export "_start") (unreachable))',
    ),
    safe: exited(9),
  },
  {
    name: "catches its exit by catch_all",
    program: () =>
      program(
        "fd_write",
        `(try (result i32) (do (call $proc_exit (i32.const 4)) (i32.const 1)) (catch_all (drop ${write(1)}) (i32.const 2)))`,
        iov(5),
      ),
    safe: exited(4),
    stdout: "",
  },
  {
    name: "exits in a catch of its exit, in a loop",
    program: () => program("", "(i32.const 0) (loop (try (do (call $proc_exit (i32.const 5))) (catch_all (br 1))))"),
    safe: exited(5),
  },
  {
    name: "exits through a table",
    program: module(
      '(import "wasi_snapshot_preview1" "proc_exit" (func $e (param i32))) (table 1 funcref) (elem (i32.const 0) $e) (func (export "_start") (call_indirect (param i32) (i32.const 6) (i32.const 0)) (unreachable))',
    ),
    safe: exited(6),
  },
  {
    name: "exports its exit as _start",
    program: module('(import "wasi_snapshot_preview1" "proc_exit" (func (param i32))) (export "_start" (func 0))'),
    safe: exited(0),
  },
  {
    name: "raises a signal",
    program: () => program("proc_raise", "(call $proc_raise (i32.const 9))"),
    safe: exited(wasi.ERRNO_NOSYS),
  },
  {
    name: "throws an exception that is not caught",
    program: start("(throw $t (i32.const 1))", "(tag $t (param i32))"),
    safe: trapped("exception"),
  },
  {
    name: "traps, and catches that",
    program: start("(try (do (unreachable)) (catch_all (loop (br 0))))"),
    safe: trapped("unreachable"),
  },
  {
    name: "divides by zero, and catches that",
    program: start("(try (do (drop (i32.div_s (i32.const 1) (i32.const 0)))) (catch_all (loop (br 0))))"),
    safe: trapped("divide"),
  },
  {
    name: "closes its root, and continues",
    program: () => program("fd_close path_open", `(drop (call $fd_close (i32.const 3))) ${open(1)}`, text(2048, "f")),
    safe: exited(wasi.ERRNO_BADF),
  },
];

const importing = (from: string, name: string, what = "(func)") =>
  module(`(import "${from}" "${name}" ${what}) (func (export "_start"))`);
const linking: Attack[] = [
  {
    name: "imports a function that does not exist",
    program: importing("env", "system", "(func (param i32) (result i32))"),
    safe: /"env" "system"/,
  },
  {
    name: "imports Function, by a constructor's constructor",
    program: importing("constructor", "constructor"),
    safe: /"constructor" "constructor"/,
  },
  {
    name: "imports WASI's constructor",
    program: importing("wasi_snapshot_preview1", "constructor"),
    safe: /"constructor"/,
  },
  { name: "imports __proto__ of WASI", program: importing("wasi_snapshot_preview1", "__proto__"), safe: /"__proto__"/ },
  { name: "imports toString of __proto__", program: importing("__proto__", "toString"), safe: /"toString"/ },
  { name: "imports hasOwnProperty of vak", program: importing("vak", "hasOwnProperty"), safe: /"hasOwnProperty"/ },
  {
    name: "imports the host side of the gate",
    program: importing("host", "fd_write", "(func (param i32 i32 i32 i32) (result i32))"),
    safe: /"host"/,
  },
  {
    name: "imports an older WASI",
    program: importing("wasi_unstable", "fd_write", "(func (param i32 i32 i32 i32) (result i32))"),
    safe: /"wasi_unstable"/,
  },
  {
    name: "imports threads",
    program: importing("wasi", "thread-spawn", "(func (param i32) (result i32))"),
    safe: /"thread-spawn"/,
  },
  {
    name: "imports a function of WASI with the wrong kind",
    program: importing("wasi_snapshot_preview1", "fd_write", "(func (param i64) (result i64))"),
    safe: /fd_write/,
  },
  {
    name: "imports an exit that returns",
    program: importing("wasi_snapshot_preview1", "proc_exit", "(func (param i32) (result i32))"),
    safe: /proc_exit/,
  },
  {
    name: "imports a function with references",
    program: importing("vak", "call", "(func (param externref) (result i32))"),
    safe: /"vak" "call"/,
  },
  {
    name: "imports a global",
    program: importing("wasi_snapshot_preview1", "fd_write", "(global i32)"),
    safe: /global/,
  },
  { name: "imports a tag", program: importing("wasi_snapshot_preview1", "fd_write", "(tag)"), safe: /tag/ },
  {
    name: "exports what the meter exports",
    program: module('(func (export "_start")) (func (export "vak:grant") (param i64))'),
    safe: /vak:/,
  },
  {
    name: "exports two things by one name",
    program: () =>
      binary(
        section(1, [1, 0x60, 0, 0]),
        section(3, [1, 0]),
        section(7, [2, 1, 0x61, 0, 0, 1, 0x61, 0, 0]),
        section(10, [1, 2, 0, 0x0b]),
      ),
    safe: /./,
  },
  {
    name: "exports a function as its memory",
    program: module('(func (export "_start")) (func (export "memory"))'),
    safe: /memory/,
  },
  {
    name: "exports a global as _start",
    program: module('(global (export "_start") i32 (i32.const 0))'),
    safe: /_start/,
  },
  { name: "is neither command nor reactor", program: module('(func (export "main"))'), safe: /_start/ },
  {
    name: "is started with parameters and results",
    program: module('(func (export "_start") (param i32 f64) (result i32) (local.get 0))'),
    safe: exited(0),
  },
  {
    name: "is started with a parameter that a number cannot be",
    program: module('(func (export "_start") (param i64))'),
    safe: trapped("other"),
  },
];

const many = (count: number, make: (i: number) => string) => Array.from({ length: count }, (_, i) => make(i)).join("");
const FUNC = [
  section(1, [1, 0x60, 0, 0]),
  section(3, [1, 0]),
  section(7, [1, 6, ...new TextEncoder().encode("_start"), 0, 0]),
];
/** A code section with one body. */
const code = (body: number[]): number[] => section(10, [1, ...section(0, body).slice(1)]);

const sizes: Attack[] = [
  {
    name: "has blocks in blocks, 5,000 deep",
    program: () => {
      const blocks = Array.from({ length: 5000 }, () => [0x02, 0x40]).flat();
      return binary(...FUNC, code([0, ...blocks, ...new Array(5001).fill(0x0b)]));
    },
    safe: exited(0),
  },
  {
    name: "has 49,000 locals",
    program: module(`(func (export "_start") (local ${"i64 ".repeat(49_000)}))`),
    safe: trapped("stack"),
  },
  {
    name: "has more locals than allowed",
    program: () =>
      binary(
        section(1, [1, 0x60, 0, 0]),
        section(3, [1, 0]),
        section(7, [1, 6, ...new TextEncoder().encode("_start"), 0, 0]),
        section(10, [1, 8, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7e, 0x0b]),
      ),
    safe: /./,
  },
  {
    name: "has 20,000 functions",
    program: module(`${many(20_000, () => "(func)")} (func (export "_start"))`),
    safe: exited(0),
  },
  {
    name: "has a br_table of 60,000 entries",
    program: start(`(block (br_table ${"0 ".repeat(60_000)} (i32.const 5)))`),
    safe: exited(0),
  },
  {
    name: "has 900 parameters",
    program: module(
      `(func $f (param ${"i32 ".repeat(900)})) (func (export "_start") ${`(call $f ${"(i32.const 1)".repeat(900)})`})`,
    ),
    safe: exited(0),
  },
  {
    name: "has 5,000 exports",
    program: module(`(func (export "_start")) ${many(5000, (i) => `(export "e${i}" (func 0))`)}`),
    safe: exited(0),
  },
  {
    name: "has an export whose name has 100,000 letters",
    program: module(`(func (export "_start") (export "${"x".repeat(100_000)}"))`),
    safe: exited(0),
  },
  {
    name: "has a custom section of a megabyte",
    program: () => Uint8Array.from([...good(), ...section(0, [1, 0x78, ...new Array(2 ** 20).fill(0)])]),
    safe: exited(0),
  },
  {
    name: "has 50,000 data segments",
    program: module(`(memory 1) ${many(50_000, () => '(data (i32.const 0) "")')} (func (export "_start"))`),
    safe: exited(0),
  },
  {
    name: "has a type of many results, and loops over them",
    program: start(`(loop ${"(result i32) ".repeat(100)} (br 0)) ${"(drop)".repeat(100)}`),
    limits: FUEL,
    safe: spent,
  },
];

const good = () => wat('(module (func (export "_start")))');
const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const malformed: Attack[] = [
  { name: "no bytes", program: () => new Uint8Array(), safe: /WebAssembly/ },
  { name: "a header and a half", program: () => Uint8Array.from([...HEADER, 1]), safe: /./ },
  {
    name: "another magic number",
    program: () => Uint8Array.from([0x7f, 0x45, 0x4c, 0x46, ...HEADER]),
    safe: /WebAssembly/,
  },
  { name: "version 2", program: () => Uint8Array.from([0, 0x61, 0x73, 0x6d, 2, 0, 0, 0]), safe: /version/ },
  { name: "a section longer than the file", program: () => Uint8Array.from([...HEADER, 1, 0x7f, 0]), safe: /./ },
  {
    name: "a section whose length has no end",
    program: () => Uint8Array.from([...HEADER, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
    safe: /./,
  },
  { name: "a section of no known kind", program: () => binary(section(99, [0])), safe: /./ },
  { name: "sections out of order", program: () => binary(section(3, [0]), section(1, [0])), safe: /./ },
  { name: "a section twice", program: () => binary(section(1, [0]), section(1, [0])), safe: /./ },
  { name: "4 billion types", program: () => binary(section(1, [0xff, 0xff, 0xff, 0xff, 0x0f])), safe: /./ },
  { name: "a function without code", program: () => binary(...FUNC), safe: /./ },
  { name: "code without a function", program: () => binary(section(10, [1, 2, 0, 0x0b])), safe: /./ },
  { name: "code that ends too soon", program: () => binary(...FUNC, section(10, [1, 3, 0, 0x02, 0x40])), safe: /./ },
  {
    name: "code that continues after its end",
    program: () => binary(...FUNC, section(10, [1, 4, 0, 0x0b, 0x01, 0x0b])),
    safe: /./,
  },
  {
    name: "an unknown opcode",
    program: () => binary(...FUNC, section(10, [1, 3, 0, 0xff, 0x0b])),
    safe: /./,
  },
  {
    name: "an opcode with an unknown prefix",
    program: () => binary(...FUNC, section(10, [1, 4, 0, 0xfc, 0x7f, 0x0b])),
    safe: /./,
  },
  {
    name: "a stack that is empty where it is used",
    program: () => binary(...FUNC, section(10, [1, 3, 0, 0x1a, 0x0b])),
    safe: /./,
  },
  {
    name: "a call of a function that does not exist",
    program: () => binary(...FUNC, section(10, [1, 4, 0, 0x10, 0x7f, 0x0b])),
    safe: /./,
  },
  {
    name: "a branch out of everything",
    program: () => binary(...FUNC, section(10, [1, 4, 0, 0x0c, 0x7f, 0x0b])),
    safe: /./,
  },
  {
    name: "a local that does not exist",
    program: () => binary(...FUNC, section(10, [1, 5, 0, 0x20, 0x7f, 0x1a, 0x0b])),
    safe: /./,
  },
  {
    name: "names that are not UTF-8",
    program: () =>
      binary(
        section(1, [1, 0x60, 0, 0]),
        section(3, [1, 0]),
        section(7, [1, 2, 0xff, 0xfe, 0, 0]),
        section(10, [1, 2, 0, 0x0b]),
      ),
    safe: /./,
  },
  { name: "a good module with a byte after it", program: () => Uint8Array.from([...good(), 0]), safe: /./ },
  { name: "a good module twice", program: () => Uint8Array.from([...good(), ...good()]), safe: /./ },
  { name: "a good module without its last byte", program: () => good().slice(0, -1), safe: /./ },
];

export const attacks: Record<string, Attack[]> = {
  cpu,
  memory,
  tables,
  output,
  files,
  paths,
  pointers,
  exits,
  "imports and exports": linking,
  sizes,
  "malformed bytes": malformed,
};
