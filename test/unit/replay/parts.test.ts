/** Traces that are stored in parts during a run: of runs that ended, and of one whose page was gone. */
import fc from "fast-check";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { verify } from "../../../src/audit/index.ts";
import { type Part, TRACE_BYTES } from "../../../src/protocol/trace.ts";
import { joinParts, parsePart, parseTrace, partToJson } from "../../../src/protocol/trace-json.ts";
import { diff, forkPoint, openReplay, replay, replayAll } from "../../../src/replay/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { fuzzFactor } from "../../setup/fuzz.ts";
import type { Step } from "../audit/memory-log.ts";
import { change, placesOf, type RawTrace } from "./forge.ts";
import { type AgentSpec, bundleOf, type RunSpec, recordSteps } from "./record.ts";

let busy: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  busy = await loadGuest("busy");
});

const text = (string: string) => new TextEncoder().encode(string);
const answer: NonNullable<AgentSpec["answer"]> = (_tool, { a, b }) =>
  (a as number) % 10 === 4 ? { denied: "No policy permits this call." } : { ok: (a as number) + (b as number) };
/** Six calls. */
const run: RunSpec = { args: ["12"], stdin: "é", changes: [{ path: "inbox.txt", data: text("one") }] };
/** The second part is stored while call 4 waits. */
const partAt = (call: number) => (call === 2 ? "answered" : call === 4 ? "waiting" : undefined);
const inParts: RunSpec = { ...run, partAt };
const interrupted: RunSpec = { ...inParts, goneAt: 5 };
const steps = (...runs: RunSpec[]) => recordSteps([{ program: busy, seed: 7, answer, runs }]);
const options = () => ({ program: busy });

test("a trace that is stored in parts is the same trace", async () => {
  const whole = await steps(run);
  const parted = await steps(inParts, { args: ["4"] });
  const parts = placesOf(parted, "agent-0/1", "trace");
  expect(parts).toHaveLength(2);
  const bundle = await bundleOf(parted);
  expect(await verify(bundle)).toMatchObject({ ok: true, problems: [], missing: [], entries: { trace: 2 } });
  for (const run of [1, 2])
    expect(await replay(bundle, run, options())).toMatchObject({ verdict: "same", missing: null, notCompared: [] });
  expect(
    await diff({ bundle: await bundleOf(whole), run: 1, program: busy }, { bundle, run: 1, program: busy }),
  ).toEqual({ same: true, given: [], call: null, end: [], files: [], stdout: null, stderr: null });
  const point = await forkPoint(bundle, 1, { call: 6 });
  expect(point).toEqual(await forkPoint(await bundleOf(whole), 1, { call: 6 }));
});

test("the real clock's readings are in parts too", async () => {
  const parted = await recordSteps([{ program: busy, seed: 7, answer, runs: [{ ...inParts, clock: "real" }] }]);
  const [first] = placesOf(parted, "agent-0/1", "trace").map((at) => valueAt<RawTrace>(parted, at));
  expect(first!.readings.length).toBeGreaterThan(2);
  expect(await replay(await bundleOf(parted), 1, options())).toMatchObject({ verdict: "same", notCompared: [] });
  change(parted, placesOf(parted, "agent-0/1", "trace")[1]!, (part: RawTrace) => {
    part.readings[0]!++;
    return part;
  });
  expect(await replay(await bundleOf(parted), 1, options())).toMatchObject({
    verdict: "diverged",
    divergence: { call: 3, what: "input" },
  });
});

test("a part that was erased is reported by its number", async () => {
  const parted = await steps(inParts);
  const bundle = await bundleOf(parted);
  const places = placesOf(parted, "agent-0/1", "trace");
  for (const [i, at] of places.entries()) {
    const without = new Map([...bundle].filter(([path]) => path !== `values/${at}.json`));
    expect(await verify(without)).toMatchObject({ ok: true, missing: [at] });
    await expect(replay(without, 1, options())).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining(`part ${i + 1} of its trace is not in the bundle (values/${at}.json)`),
    });
  }
});

describe("a run that was interrupted", () => {
  let cut: Step[];
  let bundle: Map<string, Uint8Array<ArrayBuffer>>;
  beforeAll(async () => {
    cut = await steps({ args: ["2"] }, interrupted);
    bundle = await bundleOf(cut);
  });

  test("is the same up to where its trace was stored, and the verdict says so", async () => {
    expect(await verify(bundle)).toMatchObject({ ok: true, problems: [], runs: [{}, { end: "interrupted" }] });
    const { fuel } = valueAt<RawTrace>(cut, placesOf(cut, "agent-0/2", "trace")[1]!);
    expect(await replay(bundle, 2, options())).toEqual({
      run: "agent-0/2",
      verdict: "interrupted",
      divergence: null,
      missing: `the page was closed or lost before it ended: what is stored of its trace goes to call 4 and ${fuel} units of fuel; the log has 1 later call of it, not compared`,
      calls: 4,
      fuel,
      notCompared: [],
    });
    const all = [];
    for await (const { verdict } of replayAll(bundle, options())) all.push(verdict);
    expect(all).toEqual(["same", "interrupted"]);
  });

  test("is followed where the log continues after the parts, and where it was signed before the run's end", async () => {
    const at = placesOf(cut, "agent-0/2", "trace")[1]!;
    const open = await bundleOf(cut.slice(0, at + 1));
    expect(await verify(open)).toMatchObject({ ok: true, runs: [{}, { end: "open" }] });
    expect(await replay(open, 2, options())).toMatchObject({
      verdict: "interrupted",
      missing: expect.stringMatching(
        /^it had not ended when the log was signed: .* goes to call 4 and \d+ units of fuel$/,
      ),
      calls: 4,
    });
    // The log does not say what call 4, which waits, asked for: there is its length and its fuel.
    const none = await bundleOf(cut.slice(0, placesOf(cut, "agent-0/2", "trace")[0]!));
    await expect(replay(none, 2, options())).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining("neither its end nor any of its trace"),
    });
  });

  test("can be inspected, rewound, and forked from a call", async () => {
    const { steps, state, verdict } = await replay(bundle, 2, { ...options(), steps: true });
    expect({ verdict, calls: steps!.map(({ call }) => call) }).toEqual({ verdict: "interrupted", calls: [1, 2, 3, 4] });
    expect(state).toMatchObject({ reached: false, calls: 4 });
    const replayer = await openReplay(bundle, options());
    expect(await replayer.replay(2)).toMatchObject({ verdict: "interrupted", calls: 4 });
    expect(replayer.checkpoints(2).length).toBeGreaterThan(2);
    expect(replayer.checkpoints(2).length).toBeLessThanOrEqual(17);
    const until = { call: 3 };
    expect(await replayer.replay(2, { until })).toEqual(await replay(bundle, 2, { ...options(), until }));
    expect((await replay(bundle, 2, { ...options(), until: { call: 5 } })).state).toMatchObject({ reached: false });
    expect((await forkPoint(bundle, 2, { call: 4 })).runs.at(-1)!.calls).toHaveLength(3);
    await expect(forkPoint(bundle, 2, { call: 5 })).rejects.toMatchObject({ code: "not-found" });
    const sides = [
      { bundle, run: 1, program: busy },
      { bundle, run: 2, program: busy },
    ] as const;
    await expect(diff(...sides)).rejects.toMatchObject({
      message: expect.stringContaining("the page was closed or lost"),
    });
  });

  test("ends earlier where an answer was erased", async () => {
    const at = placesOf(cut, "agent-0/2", "outcome")[0]!;
    const without = new Map([...bundle].filter(([path]) => path !== `values/${at}.json`));
    expect(await replay(without, 2, options())).toMatchObject({
      verdict: "incomplete",
      missing: "the answer to call 1 is not in the bundle",
      calls: 1,
    });
  });

  test("attack: another program that ends, or calls, earlier is not the same", async () => {
    const { fuel } = valueAt<RawTrace>(cut, placesOf(cut, "agent-0/2", "trace")[1]!);
    const parts = placesOf(cut, "agent-0/2", "trace");
    const forgeries: [(part: RawTrace) => RawTrace, object][] = [
      [(part) => ({ ...part, fuel: fuel + 1 }), { call: null, what: "fuel", recorded: `${fuel + 1}` }],
      [(part) => ({ ...part, calls: [] }), { call: null, what: "fuel", recorded: `${fuel}` }],
      [
        (part) => ({ ...part, calls: [...part.calls, [fuel, 9, null]] }),
        { what: "calls", recorded: "5", replayed: "4" },
      ],
      [(part) => ({ ...part, readings: [5] }), { call: null, what: "readings of the clock", recorded: "1" }],
      [
        (part) => ({ ...part, changes: [{ path: "a", data: null, at: { at: "entry", systemCalls: 1e9, fuel } }] }),
        { call: null, what: "changes of files", recorded: "1", replayed: "0" },
      ],
    ];
    for (const [i, [forge, divergence]] of forgeries.entries()) {
      const forged = [...cut];
      change(forged, parts[1]!, forge);
      if (i === 2)
        change(forged, parts[1]!, (part: RawTrace) => {
          part.calls[1]![2] = "{}";
          return part;
        });
      const bundle = await bundleOf(forged);
      expect(await verify(bundle)).toMatchObject({ ok: true });
      const found = await replay(bundle, 2, options());
      expect(found, `forgery ${i}`).toMatchObject({ verdict: "diverged", divergence });
    }
  });
});

describe("attack: a forger with the log's key", () => {
  let honest: Step[];
  let parted: Step[];
  let places: number[];
  beforeAll(async () => {
    honest = await steps(inParts);
    places = placesOf(honest, "agent-0/1", "trace");
  });
  beforeEach(() => {
    parted = [...honest];
  });
  const values = () => places.map((at) => valueAt<RawTrace>(honest, at));
  const put = (...parts: unknown[]) => parts.forEach((part, i) => void change(parted, places[i]!, () => part));
  const replayed = async () => {
    const bundle = await bundleOf(parted);
    expect(await verify(bundle)).toMatchObject({ ok: true });
    return replay(bundle, 1, options());
  };

  test("changes a part: it shows at its call", async () => {
    const [one, two] = values();
    two!.calls[0]![0]++;
    put(one, two);
    expect(await replayed()).toMatchObject({ verdict: "diverged", divergence: { call: 3, what: "fuel" } });
  });

  test("leaves calls out of a part: the next one takes their place", async () => {
    const [one, two] = values();
    put({ ...one, calls: [] }, two);
    expect(await replayed()).toMatchObject({ verdict: "diverged", divergence: { call: 1 } });
  });

  test("swaps two parts", async () => {
    const [one, two] = values();
    put({ ...two, changes: one!.changes }, { ...one, changes: [] });
    // No call follows the one that waited in the second part.
    await expect(replayed()).rejects.toMatchObject({ code: "invalid-bundle" });
    two!.calls[1]![2] = "{}";
    put({ ...two, changes: one!.changes }, { ...one, changes: [] });
    change(parted, placesOf(parted, "agent-0/1", "run-end")[0]!, ({ answer: _, ...rest }: RawTrace) => rest);
    expect(await replayed()).toMatchObject({ verdict: "diverged", divergence: { call: 1 } });
  });

  test("repeats a part", async () => {
    const [one, two] = values();
    put(one, one);
    await expect(replayed()).rejects.toMatchObject({ message: expect.stringContaining("before the run is not in") });
    put(one, { ...two, calls: [...one!.calls, ...two!.calls] });
    expect(await replayed()).toMatchObject({ verdict: "diverged", divergence: { call: 3 } });
  });

  test("leaves out the answer to a call, or answers one that does not wait", async () => {
    const end = placesOf(parted, "agent-0/1", "run-end")[0]!;
    change(parted, end, ({ answer: _, ...rest }: RawTrace) => rest);
    await expect(replayed()).rejects.toMatchObject({
      message: expect.stringContaining("while the one before it waited"),
    });
    parted = [...honest];
    const [one, two] = values();
    put(one, { ...two, answer: "{}" });
    await expect(replayed()).rejects.toMatchObject({ message: expect.stringContaining("for which no call waits") });
  });

  test("makes the parts too large in total", async () => {
    const [one, two] = values();
    const data = "AAAA".repeat(TRACE_BYTES / 8);
    const large = { path: "large", data, at: { at: "wait", systemCalls: 1, fuel: 1 } };
    put(one, { ...two, changes: [large] });
    expect((await replayed()).calls).toBe(6);
    put({ ...one, changes: [{ ...large, at: null }] }, { ...two, changes: [large] });
    const bundle = await bundleOf(parted);
    await expect(replay(bundle, 1, options())).rejects.toMatchObject({ code: "invalid-bundle" });
  });
});

test("attack: a trace with more runs before it than a function takes arguments", async () => {
  const forged = await steps(run);
  const before = { args: [], calls: [], changes: [], env: [], number: 1, startTime: 0, stdin: "" };
  change(forged, placesOf(forged, "agent-0/1", "run-end")[0]!, (trace: RawTrace) => ({
    ...trace,
    before: Array(150_000).fill(before),
  }));
  expect((await forkPoint(await bundleOf(forged), 1, { call: 2 })).runs).toHaveLength(150_001);
});

test("attack: a trace with a symbolic link whose target is longer than any path", () => {
  const part = (length: number) => ({
    ...{ calls: [], fuel: 0 },
    changes: [{ path: "link", data: { type: "symlink", target: "a/".repeat(length / 2) }, at: null }],
  });
  expect(parsePart(part(4096)).changes).toHaveLength(1);
  expect(() => parsePart(part(4098))).toThrow(expect.objectContaining({ code: "invalid-bundle" }));
});

describe("fuzz", () => {
  const point = fc.record({
    at: fc.constantFrom("check" as const, "entry" as const, "wait" as const),
    systemCalls: fc.nat(),
    fuel: fc.nat(),
  });
  const data = fc.oneof(
    fc.uint8Array({ maxLength: 9 }),
    fc.constant(null),
    fc.constant({ type: "directory" as const }),
  );
  const happening = fc.oneof(
    fc.record({ change: fc.record({ path: fc.string({ maxLength: 9 }), data, at: point }) }),
    fc.record({
      call: fc.record({ fuel: fc.nat(), requestBytes: fc.nat() }),
      answer: fc.oneof(fc.string({ maxLength: 9 }), fc.nat()),
    }),
    fc.record({ reading: fc.nat() }),
  );

  test("wherever a trace is cut into parts, they make the same trace", () => {
    const cuts = fc.array(fc.tuple(happening, fc.boolean(), fc.boolean()), { maxLength: 40 });
    fc.assert(
      fc.property(cuts, (met) => {
        const nothing = (): Part => ({ before: [], changes: [], calls: [], readings: [] });
        const whole = nothing();
        const parts: unknown[] = [];
        let held = nothing();
        const cut = () => {
          parts.push(partToJson({ ...held, fuel: 0 }));
          held = nothing();
        };
        for (const [one, cutWithin, cutAfter] of met) {
          if ("change" in one) {
            whole.changes.push(one.change);
            held.changes.push(one.change);
          } else if ("reading" in one) {
            whole.readings.push(one.reading);
            held.readings.push(one.reading);
          } else {
            whole.calls.push({ ...one.call, answer: one.answer });
            held.calls.push({ ...one.call, answer: cutWithin ? null : one.answer });
            if (cutWithin) {
              cut();
              held.answer = one.answer;
            }
          }
          if (cutAfter) cut();
        }
        cut();
        // As it comes out of JSON.
        const read = (JSON.parse(JSON.stringify(parts)) as unknown[]).map(parsePart);
        expect(joinParts(read)).toEqual(whole);
      }),
      { numRuns: 500 * fuzzFactor },
    );
  });

  test("any part is either refused or parsed and joined as it says", () => {
    const call = fc.tuple(fc.nat(), fc.nat(), fc.oneof(fc.string(), fc.constant(null), fc.anything()));
    const near = fc.record(
      {
        before: fc.oneof(fc.constant([]), fc.anything()),
        changes: fc.array(fc.record({ path: fc.string(), data: fc.option(fc.base64String()), at: fc.option(point) })),
        calls: fc.array(call, { maxLength: 3 }),
        readings: fc.oneof(fc.array(fc.oneof(fc.nat(), fc.integer()), { minLength: 1 }), fc.anything()),
        answer: fc.oneof(fc.string(), fc.nat(), fc.anything()),
        fuel: fc.oneof(fc.nat(), fc.anything()),
      },
      { requiredKeys: ["changes", "calls", "fuel"] },
    );
    let read = 0;
    fc.assert(
      fc.property(fc.array(fc.oneof({ weight: 9, arbitrary: near }, fc.anything()), { maxLength: 3 }), (values) => {
        try {
          const parts = values.map(parsePart);
          joinParts(parts);
          read++;
          for (const [i, part] of parts.entries())
            expect(parsePart(JSON.parse(JSON.stringify(partToJson(part))))).toEqual(parts[i]);
        } catch (error) {
          expect(error).toMatchObject({ code: "invalid-bundle" });
        }
      }),
      { numRuns: 3000 * fuzzFactor },
    );
    expect(read).toBeGreaterThan(100);
    expect(() => parseTrace({ fuel: 1, changes: [], calls: [] })).toThrow(
      expect.objectContaining({ code: "invalid-bundle" }),
    );
  });
});

function valueAt<T>(steps: Step[], at: number): T {
  const { commitment } = steps[at]![1]!;
  return JSON.parse(new TextDecoder().decode(commitment!.file))[commitment!.kind].value;
}
