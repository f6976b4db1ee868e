/** The ledger of budgets: reserving and settling. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Budget, Reservation } from "../../../src/policy/budget.ts";
import { Ledger } from "../../../src/policy/ledger.ts";

const run = {};
const agent = {};
const payer = (tool = "t") => ({ agent, run, tool });
const held = (given: ReturnType<Ledger["reserve"]>): Reservation => {
  if ("exceeded" in given) throw new Error(given.exceeded);
  return given;
};

describe("a reservation", () => {
  test("counts at once, and is settled to the actual cost", () => {
    const ledger = new Ledger({ money: { of: "cents", limit: 100, per: "run" } });
    const first = held(ledger.reserve(payer(), { cents: 60 }));
    expect(ledger.states(payer())).toEqual({ money: { used: 60, left: 40, limit: 100 } });
    expect(ledger.reserve(payer(), { cents: 41 })).toEqual({
      exceeded: "budget money: the call may cost 41 cents, 40 are left",
    });
    held(ledger.reserve(payer(), { cents: 40 }));
    first.settle({ cents: 10 });
    first.settle({ cents: 0 });
    expect(ledger.states(payer()).money).toEqual({ used: 50, left: 50, limit: 100 });
  });

  test("fits into every budget, or changes none", () => {
    const ledger = new Ledger({
      calls: { of: "calls", limit: 10, per: "run" },
      money: { of: "cents", limit: 5, per: "kernel" },
    });
    expect(ledger.reserve(payer(), { calls: 1, cents: 6 })).toHaveProperty("exceeded");
    expect(ledger.states(payer())).toEqual({
      calls: { used: 0, left: 10, limit: 10 },
      money: { used: 0, left: 5, limit: 5 },
    });
  });

  test("counts for the run, the agent or the kernel", () => {
    const budget = (per: Budget["per"]): Budget => ({ of: "calls", limit: 2, per });
    const ledger = new Ledger({ r: budget("run"), a: budget("agent"), k: { ...budget("kernel"), limit: 3 } });
    const other = { agent, run: {}, tool: "t" };
    held(ledger.reserve(payer(), { calls: 1 }));
    held(ledger.reserve(other, { calls: 1 }));
    const left = (who: typeof other) => Object.values(ledger.states(who)).map((state) => state.left);
    expect(left(other)).toEqual([1, 0, 1]);
    expect(left({ agent: {}, run: {}, tool: "t" })).toEqual([2, 2, 1]);
    expect(Object.values(ledger.states()).map((state) => state.left)).toEqual([2, 2, 1]);
  });

  test("counts only for the tools that the budget names", () => {
    const ledger = new Ledger({ sends: { of: "calls", limit: 1, per: "run", tools: ["send"] } });
    held(ledger.reserve(payer("send"), { calls: 1 }));
    expect(ledger.reserve(payer("send"), { calls: 1 })).toHaveProperty("exceeded");
    held(ledger.reserve(payer("read"), { calls: 1 }));
  });

  test.each([0.5, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, "1", null])(
    "of %s is refused, and as an actual cost leaves the reserved amount spent",
    (cents) => {
      const ledger = new Ledger({ money: { of: "cents", limit: 100, per: "run" } });
      expect(ledger.reserve(payer(), { cents: cents as number })).toHaveProperty("exceeded");
      const one = held(ledger.reserve(payer(), { cents: 7 }));
      one.settle({ cents: cents as number }); // the actual cost is unknown, so the reserved amount stays spent
      expect(ledger.states(payer()).money!.used).toBe(7);
    },
  );

  test("a cost above the reservation counts in full, even beyond the limit", () => {
    const ledger = new Ledger({ money: { of: "cents", limit: 100, per: "run" } });
    held(ledger.reserve(payer(), { cents: 50 })).settle({ cents: 500 });
    expect(ledger.states(payer()).money).toEqual({ used: 500, left: 0, limit: 100 });
    expect(ledger.reserve(payer(), { cents: 1 })).toHaveProperty("exceeded");
    held(ledger.reserve(payer(), {}));
  });

  test("may be in a unit named like a property of Object.prototype", () => {
    const ledger = new Ledger({ odd: { of: "constructor", limit: 1, per: "run" } });
    held(ledger.reserve(payer(), {})).settle({});
    expect(ledger.states(payer()).odd!.used).toBe(0);
  });
});

describe("a window", () => {
  test("drops older amounts, up to a 60th of its length late", () => {
    let now = 0;
    const ledger = new Ledger({ rate: { of: "calls", limit: 2, per: "run", windowMs: 60_000 } }, () => now);
    held(ledger.reserve(payer(), { calls: 1 }));
    now = 30_000;
    held(ledger.reserve(payer(), { calls: 1 }));
    for (now of [30_001, 59_999, 60_000, 60_999])
      expect(ledger.reserve(payer(), { calls: 1 })).toHaveProperty("exceeded");
    now = 61_000;
    const late = held(ledger.reserve(payer(), { calls: 1 }));
    now = 1_000_000;
    late.settle({ calls: 5 }); // long after the window
    expect(ledger.states(payer()).rate!.used).toBe(0);
  });
});

/** A call that begins at `start` and takes `takes` ms. */
const call = fc.record({
  start: fc.nat(2000),
  takes: fc.nat(500),
  may: fc.nat(50),
  share: fc.double({ min: 0, max: 1, noNaN: true }),
  run: fc.nat(2),
});

describe("concurrent calls never overspend", () => {
  test("settled and reserved amounts stay within the limit, at any moment and in any window", () => {
    const budgets = fc.record({
      limit: fc.nat(120),
      per: fc.constantFrom<Budget["per"]>("run", "agent", "kernel"),
      windowMs: fc.option(fc.constantFrom(60, 600), { nil: undefined }),
    });
    fc.assert(
      fc.property(budgets, fc.array(call, { maxLength: 40 }), ({ limit, per, windowMs }, list) => {
        let now = 0;
        const ledger = new Ledger({ b: { of: "u", limit, per, ...(windowMs && { windowMs }) } }, () => now);
        const runs = [{}, {}, {}];
        const agents = [runs[0]!, runs[0]!, runs[2]!]; // two runs of one agent, one of another
        const owner = (run: number) => (per === "run" ? run : per === "agent" ? (run === 2 ? 1 : 0) : 0);
        const steps = list.flatMap(({ start, takes }, index) => [
          { at: start, index, end: false },
          { at: start + takes, index, end: true },
        ]);
        steps.sort((a, b) => a.at - b.at || Number(a.end) - Number(b.end));
        const spent: { at: number; owner: number; amount: number }[] = [];
        const open = new Map<number, { reservation: Reservation; entry: (typeof spent)[number] }>();
        for (const { at, index, end } of steps) {
          now = at;
          const { may, share, run } = list[index]!;
          if (end) {
            const it = open.get(index);
            if (!it) continue;
            it.entry.amount = Math.floor(may * share);
            it.reservation.settle({ u: it.entry.amount });
          } else {
            const given = ledger.reserve({ agent: agents[run]!, run: runs[run]!, tool: "t" }, { u: may });
            if ("exceeded" in given) continue;
            const entry = { at, owner: owner(run), amount: may };
            spent.push(entry);
            open.set(index, { reservation: given, entry });
          }
          for (const who of [0, 1, 2]) {
            const within = spent.filter((it) => it.owner === who && (!windowMs || it.at > now - windowMs));
            const sum = within.reduce((total, { amount }) => total + amount, 0);
            expect(sum).toBeLessThanOrEqual(limit);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  test("with one owner and no window, a call is refused only if it does not fit", () => {
    fc.assert(
      fc.property(fc.nat(100), fc.array(fc.nat(40)), (limit, amounts) => {
        const ledger = new Ledger({ b: { of: "u", limit, per: "kernel" } });
        let left = limit;
        for (const u of amounts) {
          const refused = "exceeded" in ledger.reserve(payer(), { u });
          expect(refused).toBe(u > left);
          if (!refused) left -= u;
        }
      }),
    );
  });
});

test.each<[string, unknown]>([
  ["a name with a dash", { "a-b": { of: "calls", limit: 1, per: "run" } }],
  ["an empty name", { "": { of: "calls", limit: 1, per: "run" } }],
  ["a budget without a unit", { a: { limit: 1, per: "run" } }],
  ["a limit below zero", { a: { of: "calls", limit: -1, per: "run" } }],
  ["a fraction as a limit", { a: { of: "calls", limit: 0.5, per: "run" } }],
  ["an infinite limit", { a: { of: "calls", limit: Number.POSITIVE_INFINITY, per: "run" } }],
  ["a budget without per", { a: { of: "calls", limit: 1 } }],
  ["a window of zero", { a: { of: "calls", limit: 1, per: "run", windowMs: 0 } }],
  ["a window of a week", { a: { of: "calls", limit: 1, per: "run", windowMs: 604_800_000 } }],
  ["a string for tools", { a: { of: "calls", limit: 1, per: "run", tools: "send" } }],
  ["an unknown field", { a: { of: "calls", limit: 1, per: "run", window: 5 } }],
  ["null", { a: null }],
  [
    "a budget too many",
    Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`b${i}`, { of: "calls", limit: 1, per: "run" }])),
  ],
])("%s is refused", (_, budgets) => {
  expect(() => new Ledger(budgets as Record<string, Budget>)).toThrow(
    expect.objectContaining({ code: "invalid-argument" }),
  );
});
