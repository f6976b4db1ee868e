/** The page of the meter benchmark: kernels, CPython and SQLite, each metered in several ways and unmetered. */
import { ConsoleStdout, File, OpenFile, PreopenDirectory, WASI } from "@bjorn3/browser_wasi_shim";
import { attach, instrument, type MeterOptions } from "../../../src/meter/index.ts";
import { fetchBytes } from "./bare.ts";

/** How the programs are metered; the first one is unmetered. */
const sets = {
  plain: undefined,
  trap: { fuel: true },
  resumable: { fuel: true, resumable: true },
  depth: { fuel: true, resumable: true, stackDepth: 30_000 },
  nan: { fuel: true, resumable: true, nan: true },
  all: { fuel: true, resumable: true, stackDepth: 30_000, nan: true },
} satisfies Record<string, MeterOptions | undefined>;
export type Metering = keyof typeof sets;

/** The kernels, each with a size at which it takes a few milliseconds. */
const sizes = {
  nbody: 100_000,
  fannkuch: 9,
  sha256: 20_000,
  sort_pointer: 80_000,
  sort_direct: 200_000,
  matrix: 200,
  fib: 29,
  sieve: 2_000_000,
  crc32: 8_000_000,
  mandelbrot: 400,
  interpreter: 500_000,
  hashtable: 1_000_000,
  list: 150,
  lz: 1_000_000,
  copy: 20_000,
};
export type Kernel = keyof typeof sizes;

/** ms that the plain program takes at least, because Firefox's clock ticks in whole milliseconds. */
const LEAST = 40;

const FUEL = Number.MAX_SAFE_INTEGER;
const names = Object.keys(sets) as Metering[];
const caps = { memoryBytes: 2 ** 28, tableElements: 100_000 };

/** A module metered as `set` says, or unmetered. */
function metered(
  program: Uint8Array<ArrayBuffer>,
  set: Metering,
  limits: MeterOptions = caps,
): Uint8Array<ArrayBuffer> {
  const options: MeterOptions | undefined = sets[set];
  return options ? instrument(program, { ...options, ...limits }).bytes : program;
}

/** Gives an instance fuel, and returns how to read what it used. Throws if the unmetered one is metered after all. */
function grant(instance: WebAssembly.Instance, set: Metering): () => number {
  const added = Object.keys(instance.exports).filter((name) => name.startsWith("vak:"));
  if (set !== "plain") {
    const meter = attach(instance.exports, { fuel: FUEL });
    return () => meter.used;
  }
  if (added.length) throw new Error(`the baseline is metered: it exports ${added.join()}`);
  return () => 0;
}

function checkFuel(set: Metering, used: number): void {
  if (used > 0 !== (set !== "plain")) throw new Error(`${set} used ${used} units of fuel`);
}

type Exports = Record<Kernel, (size: number) => number>;

/** Runs a kernel `count` times. */
function repeat(exports: Exports, kernel: Kernel, count: number): number {
  let sum = 0;
  for (let n = 0; n < count; n++) sum = (sum + exports[kernel](sizes[kernel])) | 0;
  return sum;
}

/** How often the plain program, once warm, has to run a kernel to take {@link LEAST}. */
function countFor(exports: Exports, kernel: Kernel): number {
  for (let count = 1; ; count *= 2) {
    repeat(exports, kernel, count);
    const began = performance.now();
    repeat(exports, kernel, count);
    const took = performance.now() - began;
    if (took >= LEAST / 4) return Math.ceil((count * LEAST) / took);
  }
}

/** ms that each kernel took with each set, in rounds over all sets. The first round is not counted. */
export async function kernels(base64: string, rounds: number): Promise<Record<Kernel, Record<Metering, number>[]>> {
  const program = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const instances = await Promise.all(
    names.map(async (set) => {
      const { instance } = await WebAssembly.instantiate(metered(program, set));
      return { set, exports: instance.exports as Exports, used: grant(instance, set) };
    }),
  );
  const { instance } = await WebAssembly.instantiate(program);
  const took = Object.fromEntries(Object.keys(sizes).map((kernel) => [kernel, [] as Record<Metering, number>[]]));
  for (const kernel of Object.keys(sizes) as Kernel[]) {
    const count = countFor(instance.exports as Exports, kernel);
    for (let round = -1; round < rounds; round++) {
      const row = {} as Record<Metering, number>;
      const results = new Set<number>();
      // Each round begins with the next instance.
      for (const [i] of instances.entries()) {
        const { set, exports, used } = instances[(i + round + 1) % instances.length]!;
        const before = used();
        const began = performance.now();
        results.add(repeat(exports, kernel, count));
        row[set] = performance.now() - began;
        checkFuel(set, used() - before);
      }
      if (results.size !== 1) throw new Error(`${kernel} gives different results: ${[...results].join()}`);
      if (round >= 0) took[kernel]!.push(row);
      // Give the compiler's threads time.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  return took as Record<Kernel, Record<Metering, number>[]>;
}

const script = `
import json, re, math
def fib(n): return n if n < 2 else fib(n-1) + fib(n-2)
s = 0.0
for i in range(60000): s += math.sin(i) * 1.5
d = {str(i): i * i for i in range(8000)}
t = json.dumps(d); e = json.loads(t)
class A:
  def __init__(self, x): self.x = x
  def m(self, y): return self.x + y
for i in range(40000): A(i).m(3)
print(fib(18), s, len(t), sum(e.values()), len(re.findall(r"[0-9]+", t)), sorted([i * 7919 % 10007 for i in range(10000)])[5000])
`;

const pythonBytes = () => fetchBytes("/python/python.wasm");

/** ms that CPython took to run a script, from start to end, measured as in {@link kernels}. */
export async function python(rounds: number): Promise<Record<Metering, number>[]> {
  const program = await pythonBytes();
  return inTurn((set) => metered(program, set), runPython, rounds);
}

type Run = (module: WebAssembly.Module, set: Metering) => Promise<{ ms: number; output: string }>;

/** ms that `run` took with each set, in rounds over all sets. The first round is not counted. */
async function inTurn(
  program: (set: Metering) => Uint8Array<ArrayBuffer>,
  run: Run,
  rounds: number,
): Promise<Record<Metering, number>[]> {
  const modules = new Map<Metering, WebAssembly.Module>();
  for (const set of names) modules.set(set, await WebAssembly.compile(program(set)));
  const rows: Record<Metering, number>[] = [];
  for (let round = -1; round < rounds; round++) {
    const row = {} as Record<Metering, number>;
    const outputs = new Set<string>();
    for (const [i] of names.entries()) {
      // Each round begins with the next set.
      const set = names[(i + round + 1) % names.length]!;
      const { ms, output } = await run(modules.get(set)!, set);
      row[set] = ms;
      outputs.add(output);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    if (outputs.size !== 1) throw new Error(`the program gives different output: ${[...outputs].join(" and ")}`);
    if (round >= 0) rows.push(row);
  }
  return rows;
}

async function runPython(module: WebAssembly.Module, set: Metering): Promise<{ ms: number; output: string }> {
  let output = "";
  const print = ConsoleStdout.lineBuffered((line) => {
    output += `${line}\n`;
  });
  const files = [new OpenFile(new File([])), print, print, new PreopenDirectory("/", new Map())];
  const wasi = new WASI(["python", "-c", script], ["PYTHONHASHSEED=1"], files, { debug: false });
  const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: wasi.wasiImport });
  const used = grant(instance, set);
  const began = performance.now();
  const status = wasi.start(instance as Parameters<WASI["start"]>[0]);
  const ms = performance.now() - began;
  if (status !== 0 || !output) throw new Error(`CPython ended with ${status}: ${output}`);
  checkFuel(set, used());
  return { ms, output };
}

const sql = `
create table track(id integer primary key, artist int, title text, seconds int);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
  insert into track select i, (i * 7919) % 613, 'title ' || ((i * 104729) % 100003), 60 + (i * 31) % 400 from n;
create index by_artist on track(artist, seconds);
create table artist(id integer primary key, name text);
insert into artist select distinct artist, 'artist ' || artist from track;
update track set seconds = seconds + 1 where title like '%7%';
delete from track where id % 11 = 0;
create table answer(value);
insert into answer select sum(s) from (
  select a.name, count(*) c, sum(t.seconds) s from track t join artist a on a.id = t.artist
  group by a.name having c > 2 order by s desc limit 200);
insert into answer select count(*) from track x join track y on x.artist = y.artist and x.seconds > y.seconds;
insert into answer select sum(length(title) * seconds % 97) from track where title between 'title 2' and 'title 7';
with recursive f(a, b, n) as (select 0, 1, 0 union all select b, (a + b) % 1000007, n + 1 from f where n < 60000)
  insert into answer select sum(a) from f;`;

interface Sqlite {
  __wasm_call_ctors(): void;
  malloc(bytes: number): number;
  sqlite3_open(name: number, db: number): number;
  sqlite3_exec(db: number, sql: number, callback: number, argument: number, message: number): number;
  sqlite3_prepare_v2(db: number, sql: number, bytes: number, statement: number, tail: number): number;
  sqlite3_step(statement: number): number;
  sqlite3_column_int64(statement: number, column: number): bigint;
}

/** ms that SQLite took to run a script on a database in memory, measured as in {@link kernels}. */
export async function sqlite(rounds: number): Promise<Record<Metering, number>[]> {
  const program = await fetchBytes("/sqlite/sqlite3.wasm");
  // Without caps, because it imports its memory, which the meter refuses to cap.
  return inTurn((set) => metered(program, set, {}), runSqlite, rounds);
}

async function runSqlite(module: WebAssembly.Module, set: Metering): Promise<{ ms: number; output: string }> {
  const memory = new WebAssembly.Memory({ initial: 256, maximum: 32_768 });
  // There are no files to open, and no other system call matters here.
  const system: Record<string, unknown> = { memory, __syscall_openat: () => -44 };
  const imports = new Proxy(system, {
    get: (own, name) => own[String(name)] ?? (() => 0),
  }) as WebAssembly.ModuleImports;
  const instance = await WebAssembly.instantiate(module, { env: imports, wasi_snapshot_preview1: imports });
  const used = grant(instance, set);
  const exports = instance.exports as unknown as Sqlite;
  const text = (value: string) => {
    const bytes = new TextEncoder().encode(`${value}\0`);
    const at = exports.malloc(bytes.length);
    new Uint8Array(memory.buffer).set(bytes, at);
    return at;
  };
  const pointer = (at: number) => new DataView(memory.buffer).getUint32(at, true);
  exports.__wasm_call_ctors();
  const to = exports.malloc(4);
  if (exports.sqlite3_open(text(":memory:"), to) !== 0) throw new Error("SQLite cannot open a database in memory");
  const db = pointer(to);
  const script = text(sql);
  const began = performance.now();
  const status = exports.sqlite3_exec(db, script, 0, 0, 0);
  const ms = performance.now() - began;
  if (status !== 0) throw new Error(`SQLite ended with ${status}`);
  exports.sqlite3_prepare_v2(db, text("select sum(value) from answer"), -1, to, 0);
  const statement = pointer(to);
  exports.sqlite3_step(statement);
  const output = String(exports.sqlite3_column_int64(statement, 0));
  if (BigInt(output) <= 0n) throw new Error(`SQLite answers ${output}`);
  checkFuel(set, used());
  return { ms, output };
}

/** ms of rewriting CPython including validation, ms of validation alone, and bytes of code with each set. */
export async function rewriting(times: number) {
  const program = await pythonBytes();
  const took: number[] = [];
  const validating: number[] = [];
  for (let i = 0; i < times; i++) {
    const began = performance.now();
    instrument(program, { ...sets.all, ...caps });
    const rewritten = performance.now();
    if (!WebAssembly.validate(program)) throw new Error("CPython is not valid");
    took.push(rewritten - began);
    validating.push(performance.now() - rewritten);
  }
  const code = Object.fromEntries(names.map((set) => [set, codeBytes(metered(program, set))]));
  return { took, validating, code: code as Record<Metering, number> };
}

/** The length of a module's code section. */
function codeBytes(module: Uint8Array): number {
  let at = 8;
  const leb = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = module[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  for (;;) {
    const id = module[at++];
    const size = leb();
    if (id === 10) return size;
    if (id === undefined) throw new Error("the module has no code");
    at += size;
  }
}
