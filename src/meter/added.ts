/** What the meter appends to a module: types, functions, globals, a table and exports, after the module's own. */
import * as External from "../wasm/external.ts";
import { endOf, signed as s, unsigned as u } from "../wasm/leb128.ts";
import { HAS_MAX, type Module } from "../wasm/module.ts";
import * as Op from "../wasm/opcode.ts";
import * as Section from "../wasm/section.ts";
import * as Type from "../wasm/type.ts";
import { Writer } from "../wasm/writer.ts";
import type { Added, Plan } from "./emit.ts";

/** Names of the exports that the meter adds. A guest may not export a name that begins with {@link RESERVED_PREFIX}. */
export const RESERVED_PREFIX = "vak:";
export const START_EXPORT = "vak:start";
export const FUEL_EXPORT = "vak:fuel";
export const GRANT_EXPORT = "vak:grant";
export const REFILL_EXPORT = "vak:refill";
export const DEPTH_EXPORT = "vak:depth";
export const SET_DEPTH_EXPORT = "vak:set-depth";

/** A greater length is charged as this: more than any budget, and far from where the counter would wrap. */
const MAX_BULK_LOG2 = 50;

/**
 * More than any engine inlines. Firefox inlined the function that asks for more fuel at each call of it, however rare,
 * and then had no room left to inline the guest's own small functions.
 */
const NOT_INLINED_BYTES = 500;

/** Items appended to the module's index spaces, in the order they will have there. */
export class Additions {
  readonly #module: Module;
  readonly #items = new Map<number, { count: number; bytes: Writer }>();
  readonly #savingGlobals: number[][] = [[], [], [], [], []];
  readonly #blockTypes = new Map<number, number[]>();

  constructor(module: Module) {
    this.#module = module;
  }

  /** What has been appended to section `id`. */
  to(id: number): { count: number; bytes: Writer } {
    const found = this.#items.get(id) ?? { count: 0, bytes: new Writer() };
    this.#items.set(id, found);
    return found;
  }

  has(id: number): boolean {
    return this.to(id).count > 0;
  }

  #add(id: number, bytes: ArrayLike<number>): number {
    const section = this.to(id);
    section.bytes.raw(bytes);
    return section.count++;
  }

  type(params: ArrayLike<number>, results: ArrayLike<number>): number {
    const bytes = new Writer().byte(Type.func).vector(params.length, params).vector(results.length, results);
    return this.#module.types.length + this.#add(Section.type, bytes.written());
  }

  func(params: number[], results: number[], locals: number[], code: number[]): number {
    const type = new Writer().unsigned(this.type(params, results)).written();
    const body = [locals.length, ...locals.flatMap((local) => [1, local]), ...code, Op.end];
    this.#add(Section.code, [...u(body.length), ...body]);
    return this.#module.functions.length + this.#add(Section.function, type);
  }

  /** A mutable global whose initial value is that of the instruction `init`. */
  global(type: number, init: number[]): number {
    return this.#module.globalCount + this.#add(Section.global, [type, 1, ...init, Op.end]);
  }

  /** The `n`th global of number type `type`: it holds a local's value while the host is asked for fuel. */
  savingGlobal(type: number, n: number): number {
    const globals = this.#savingGlobals[Type.i32 - type]!;
    if (globals[n] === undefined) globals[n] = this.global(type, ZEROS[Type.i32 - type]!);
    return globals[n];
  }

  export(name: string, kind: number, index: number): void {
    this.#add(Section.export, new Writer().name(name).byte(kind).unsigned(index).written());
  }

  /** A table for exactly one function. */
  table(): number {
    return this.#module.tables.length + this.#add(Section.table, [Type.funcref, HAS_MAX, 1, 1]);
  }

  /** The block type without parameters that has the results of function type `index`. */
  resultsOf(index: number): number[] {
    const known = this.#blockTypes.get(index);
    if (known) return known;
    const { results, end, resultCount } = this.#module.types[index]!;
    const contents = this.#module.bytes.subarray(results, end);
    let block: number[];
    if (resultCount === 0) block = [Type.empty];
    else if (resultCount === 1) block = [...contents.subarray(endOf(contents, 0))];
    else {
      const type = this.#add(Section.type, new Writer().byte(Type.func).byte(0).raw(contents).written());
      block = s(this.#module.types.length + type);
    }
    this.#blockTypes.set(index, block);
    return block;
  }
}

/** Zero of each number type and of v128, from i32 down. */
const ZEROS = [
  [Op.i32Const, 0],
  [Op.i64Const, 0],
  [Op.f32Const, 0, 0, 0, 0],
  [Op.f64Const, 0, 0, 0, 0, 0, 0, 0, 0],
  [Op.simdPrefix, Op.v128Const, ...Array<number>(16).fill(0)],
];

/** Appends what `plan` calls for. @returns the indices that metered code refers to */
export function addMeter(additions: Additions, plan: Pick<Plan, "fuel" | "resumable" | "stackDepth">): Added {
  const added: Added = { fuelGlobal: 0, depthGlobal: 0, moreFunction: 0, bulkFunction: 0, longBulkFunction: 0 };
  if (plan.fuel) addFuel(additions, plan.resumable, added);
  if (plan.stackDepth !== undefined) {
    added.depthGlobal = additions.global(Type.i32, [Op.i32Const, ...s(plan.stackDepth)]);
    const depth = u(added.depthGlobal);
    const get = additions.func([], [Type.i32], [], [Op.globalGet, ...depth]);
    const set = additions.func([Type.i32], [], [], [Op.localGet, 0, Op.globalSet, ...depth]);
    additions.export(DEPTH_EXPORT, External.func, get);
    additions.export(SET_DEPTH_EXPORT, External.func, set);
  }
  return added;
}

function addFuel(additions: Additions, resumable: boolean, added: Added): void {
  added.fuelGlobal = additions.global(Type.i64, [Op.i64Const, 0]);
  const getFuel = [Op.globalGet, ...u(added.fuelGlobal)];
  const setFuel = [Op.globalSet, ...u(added.fuelGlobal)];
  const ifNegative = (...code: number[]) => [Op.i64Const, 0, Op.i64LtS, Op.if, Type.empty, ...code, Op.end];

  const fuel = additions.func([], [Type.f64], [], [...getFuel, Op.f64ConvertI64S]);
  additions.export(FUEL_EXPORT, External.func, fuel);
  // No number makes this trap.
  const toInteger = [Op.miscPrefix, Op.i64TruncSatF64S];
  const granted = [...getFuel, Op.localGet, 0, ...toInteger, Op.i64Add, ...setFuel];
  additions.export(GRANT_EXPORT, External.func, additions.func([Type.f64], [], [], granted));

  let outOfFuel: number[] = [Op.unreachable];
  if (resumable) {
    const table = additions.table();
    additions.export(REFILL_EXPORT, External.table, table);
    const callback = additions.type([], []);
    const [counter, committed] = [0, 1];
    // The global has the count at the last call, return or bulk instruction. While the host is asked it has the exact
    // count; then it is put back, plus what was granted. So a trap's count does not depend on when the host was asked.
    added.moreFunction = additions.func(
      [Type.i64],
      [Type.i64],
      [Type.i64],
      [
        ...[...getFuel, Op.localSet, committed],
        ...Array<number>(NOT_INLINED_BYTES).fill(Op.nop),
        ...[Op.localGet, counter, ...setFuel],
        ...[Op.i32Const, 0, Op.callIndirect, ...u(callback), ...u(table)],
        ...[...getFuel, ...ifNegative(Op.unreachable)],
        ...getFuel,
        ...[Op.localGet, committed, ...getFuel, Op.i64Add, Op.localGet, counter, Op.i64Sub, ...setFuel],
      ],
    );
    outOfFuel = [...getFuel, Op.call, ...u(added.moreFunction), Op.drop];
  }

  // The bulk instruction's length passes through, and is charged.
  const charge = [...getFuel, Op.localGet, 1, Op.i64Sub, ...setFuel, ...getFuel, ...ifNegative(...outOfFuel)];
  added.bulkFunction = additions.func(
    [Type.i32],
    [Type.i32],
    [Type.i64],
    [Op.localGet, 0, Op.i64ExtendI32U, Op.localSet, 1, ...charge, Op.localGet, 0],
  );
  const most = [Op.i64Const, ...s(2 ** MAX_BULK_LOG2)];
  added.longBulkFunction = additions.func(
    [Type.i64],
    [Type.i64],
    [Type.i64],
    [
      // So that the counter cannot wrap, however often this happens.
      ...[...getFuel, ...ifNegative(...outOfFuel)],
      ...[...most, Op.localGet, 0, Op.localGet, 0, ...most, Op.i64GtU, Op.select, Op.localSet, 1],
      ...[...charge, Op.localGet, 0],
    ],
  );
}
