/** The decisions of a log, made again. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import type { Bundle } from "../../../src/audit/bundle.ts";
import { zipFiles } from "../../../src/audit/bundle-writing.ts";
import type { Entry } from "../../../src/audit/entry.ts";
import { verify } from "../../../src/audit/verify.ts";
import { Broker } from "../../../src/broker/broker.ts";
import { Taint } from "../../../src/broker/taint.ts";
import type { AuditLog } from "../../../src/log/log.ts";
import { createCedarEngine } from "../../../src/policy/cedar/cedar.ts";
import type { PolicySource } from "../../../src/policy/engine.ts";
import { Ledger } from "../../../src/policy/ledger.ts";
import { redecide } from "../../../src/policy/redecide.ts";
import { simulate } from "../../../src/policy/simulate.ts";
import { defineTool, type Tool } from "../../../src/tool/definition.ts";
import { buildCli } from "../../setup/cli.ts";
import { addWithResolvers } from "../../setup/with-resolvers.ts";
import { AGENT, logOpen, MemoryLog, type Step } from "../audit/memory-log.ts";
import { callVak } from "../cli/call.ts";
import { wasmBytes } from "./wasm.ts";

addWithResolvers();

const module = await WebAssembly.compile(wasmBytes);

const send = defineTool({
  name: "send",
  description: "Sends.",
  inputSchema: {
    type: "object",
    properties: {
      to: { type: "string" },
      cents: { type: "integer" },
      price: { type: "number", multipleOf: 0.01 },
      pin: { type: "string", writeOnly: true },
    },
    required: ["cents"],
  },
  cost: ({ cents }) => ({ cents: Math.max(0, cents) }),
  execute: ({ cents }) => cents,
});
/** Looks for leaks, as `fetchTool` does, and takes URLs. */
const mail = defineTool({
  name: "mail",
  description: "Mails.",
  inputSchema: {
    type: "object",
    properties: { text: { type: "string" }, link: { type: "string", format: "http-url" } },
    required: ["text"],
  },
  leaks: ({ text, link }) => ({
    kinds: [...(/\d{4}/.test(text) ? ["number"] : []), ...(text.includes("@") ? ["email"] : [])],
    ...(!text.includes("!") && {
      redacted: { text: text.replace(/\d{4,}/g, "REDACTED"), link: link ?? "http://a.example" },
    }),
  }),
  execute: ({ text }) => text,
});
const tools = new Map([["send", send as Tool]]);
const both = new Map([...tools, ["mail", mail as Tool]]);

const budgets = { money: { of: "cents", limit: 500, per: "run" as const } };

/** The log of a run that makes these calls, by the real broker, policy engine and log writer. */
async function record(
  policies: PolicySource[],
  requests: unknown[],
  approve: (call: number) => boolean = () => true,
  known = tools,
) {
  const log = new MemoryLog();
  const post = (...step: Step) => {
    const seq = log.append(...step);
    log.commit();
    return seq;
  };
  const append = async (...step: Step) => ({ seq: post(...step) });
  await append(...(await logOpen()));
  const ledger = new Ledger(budgets);
  const engine = createCedarEngine({ tools: [...known.values()], budgets, wasm: module });
  const load = (source: PolicySource) =>
    engine.load(source, async ({ policies, text, base }) => {
      await append({ type: "policy-load", policies: [...policies] }, { policy: text, base });
    });
  const people = { onApproval: ({ call }: { call: number }) => ({ approve: approve(call), by: "ann" }) };
  const broker = new Broker(known, engine, { append, post } as unknown as AuditLog, people, ledger);
  await load(policies[0]!);
  await append({ type: "agent-spawn", agent: AGENT, limits: {}, seed: 1, isolation: "opaque", machine: "m" });
  const run = `${AGENT.id}/1`;
  await append({ type: "run-start", agent: AGENT, run, args: [], env: [], startTime: 0 });
  const { signal } = new AbortController();
  const taint = new Taint();
  for (const [i, request] of requests.entries()) {
    const source = policies[Math.floor((i * policies.length) / requests.length)]!;
    if (i > 0) await load(source);
    const caller = { agent: AGENT, run, call: i + 1, callBytes: 10_000, signal, taint, hold: () => () => {} };
    await broker.handle(caller, new TextEncoder().encode(JSON.stringify(request)));
  }
  engine.close();
  return log;
}

const inMemory = (files: ReadonlyMap<string, Uint8Array>): Bundle => ({
  paths: async () => files.keys(),
  read: async (path) => files.get(path),
});

const call = (input: object) => ({ tool: "send", input });

const policy = `
  @id("small") permit (principal, action == Action::"call:send", resource) when { context.input.cents < 100 };
  @id("asked") permit (principal, action == Action::"call:send", resource)
  when { context.vak.approved && context.input.cents < 1000 };
  @id("not-eve") forbid (principal, action, resource) when { context.input has to && context.input.to == "eve" };
  @id("overflows") forbid (principal, action, resource) when { context.input.cents * 9223372036854775807 > 1 && false };
  @id("few") @mode("shadow") forbid (principal, action, resource) when { context.vak.calls >= 2 };
`;
const requests = [
  call({ cents: 0 }),
  call({ cents: 2 }), // with the policy "overflows", it overflows
  call({ cents: 0, to: "eve" }),
  call({ cents: 0, to: "ann", price: 1.25 }),
  { tool: "nope" },
  call({ cents: "x" }),
];

test("every decision in a log is the same when it is made again", async () => {
  const log = await record(
    [policy.replace(/@id\("overflows"\).*/, ""), policy, policy],
    [...requests, ...requests, ...requests],
  );
  const files = await log.bundle();
  expect((await verify(files)).problems).toEqual([]);
  const result = await redecide(inMemory(files), { wasm: module });
  expect(result).toEqual({ decisions: 12, agreed: 12, differing: [], undecided: [] });
});

test("so are decisions that a person was asked about, and those denied by a budget", async () => {
  const plain = policy.replace(/@id\("overflows"\).*/, "");
  const log = await record(
    [plain],
    [call({ cents: 150 }), call({ cents: 151 }), call({ cents: 400 }), call({ cents: 90 })],
    (n) => n === 1,
  );
  const types = log.stored.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as Entry);
  expect(types.flatMap((entry) => (entry.type === "denial" ? [entry.reason] : []))).toEqual([
    "approval-refused",
    "budget-exceeded",
  ]);
  const result = await redecide(inMemory(await log.bundle()), { wasm: module });
  expect(result).toEqual({ decisions: 4, agreed: 4, differing: [], undecided: [] });
});

test("so are the decisions on any calls, by any policies", async () => {
  const condition = fc.constantFrom(
    "context.input.cents < 50",
    "context.input.cents * 4611686018427387904 > 0",
    'context.input has to && context.input.to like "a*"',
    'context.input has price && context.input.price.lessThan(decimal("2.5"))',
    "context.vak.calls > 1",
    "context.vak.budget.money.left < 300",
    'principal.name == "tester"',
  );
  const one = fc.record({
    effect: fc.constantFrom("permit", "permit", "forbid"),
    shadow: fc.boolean(),
    asks: fc.boolean(),
    condition,
  });
  const text = (list: { effect: string; shadow: boolean; asks: boolean; condition: string }[]) =>
    list
      .map(({ effect, shadow, asks, condition }, i) => {
        const approved = asks && effect === "permit" ? "context.vak.approved && " : "";
        return `@id("p${i}") ${shadow ? '@mode("shadow") ' : ""}${effect} (principal, action, resource) when { ${approved}${condition} };`;
      })
      .join("\n");
  const input = fc.record(
    {
      cents: fc.integer({ min: -5, max: 200 }),
      to: fc.constantFrom("ann", "eve"),
      price: fc.constantFrom(1, 2.5, 9.99),
    },
    { requiredKeys: ["cents"] },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(one, { maxLength: 5 }).map(text), { minLength: 1, maxLength: 2 }),
      fc.array(input.map(call), { minLength: 1, maxLength: 6 }),
      fc.nat(),
      async (policies, requests, bits) => {
        const log = await record(policies, requests, (n) => ((bits >> n) & 1) === 1);
        const files = await log.bundle();
        expect((await verify(files)).problems).toEqual([]);
        const result = await redecide(inMemory(files), { wasm: module });
        expect(result).toMatchObject({ decisions: requests.length, agreed: requests.length, differing: [] });
      },
    ),
    { numRuns: 40 },
  );
});

test("so are decisions on normalised URLs, and on leaks, redacted or not", async () => {
  const text = `
    @id("mails") permit (principal, action == Action::"call:mail", resource)
    unless { context.input has link && context.input.link.host == "evil.example" };
    @id("asked") permit (principal, action == Action::"call:mail", resource) when { context.vak.approved };
    @id("no-numbers") @redact
    forbid (principal, action == Action::"call:mail", resource) when { context.vak.leaks.contains("number") };
    @id("no-numbers-in-mail")
    forbid (principal, action == Action::"call:mail", resource)
    when { context.vak.leaks.containsAll(["number", "email"]) };
  `;
  const mails: [text: string, link?: string][] = [
    ["hello", "HTTPS://Example.com/a/../b"],
    ["hello", "HTTPS://Evil.Example."],
    ["my pin is 1234"],
    ["my pin is 1234!"],
    ["my pin is 1234, ann@x"],
    ["ann@x"],
  ];
  const requests = mails.map(([text, link]) => ({ tool: "mail", input: { text, ...(link && { link }) } }));
  const log = await record([text], requests, undefined, both);
  const files = await log.bundle();
  expect((await verify(files)).problems).toEqual([]);
  const entries = log.stored.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as Entry);
  const decided = entries.flatMap((entry) =>
    entry.type === "intent" || entry.type === "denial"
      ? [[entry.decision, entry.policies, entry.facts!.leaks, entry.redacted]]
      : [],
  );
  expect(decided).toEqual([
    ["allow", ["mails"], [], undefined],
    ["allow", ["asked"], [], undefined],
    ["allow", ["mails"], [], ["number"]],
    ["deny", ["no-numbers"], ["number"], undefined],
    ["deny", ["no-numbers", "no-numbers-in-mail"], ["email", "number"], undefined],
    ["allow", ["mails"], ["email"], undefined],
  ]);
  const kept = [...files.entries()].filter(([path]) => path.startsWith("values/"));
  const inputs = kept.map(([, bytes]) => JSON.parse(new TextDecoder().decode(bytes)).input?.value).filter(Boolean);
  expect(inputs.map(({ link }) => link).slice(0, 3)).toEqual([
    "https://example.com/b",
    "https://evil.example/",
    "http://a.example/",
  ]);
  expect(inputs[2].text).toBe("my pin is REDACTED");
  const result = await redecide(inMemory(files), { wasm: module });
  expect(result).toEqual({ decisions: 6, agreed: 6, differing: [], undecided: [] });
});

describe("a log whose writer lied is found out", () => {
  const plain = policy.replace(/@id\("overflows"\).*/, "");

  /** The log's entries, changed before they are hashed. */
  async function forged(change: (entry: Entry) => Entry): Promise<Bundle> {
    const log = await record([plain], [call({ cents: 10 }), call({ cents: 10, to: "eve" }), call({ cents: 5000 })]);
    log.stored.forEach((bytes, i) => {
      const entry = change(JSON.parse(new TextDecoder().decode(bytes)));
      log.stored[i] = new TextEncoder().encode(JSON.stringify(sorted(entry)));
    });
    return inMemory(await log.bundle());
  }
  const sorted = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(sorted)
      : typeof value === "object" && value !== null
        ? Object.fromEntries(
            Object.entries(value)
              .sort(([a], [b]) => (a < b ? -1 : 1))
              .map(([key, item]) => [key, sorted(item)]),
          )
        : value;
  const asDenial = (entry: Entry): Entry => {
    if (entry.type !== "intent") return entry;
    return { ...entry, type: "denial", decision: "deny", reason: "no-permit", policies: [], errors: [] };
  };
  const asIntent = (entry: Entry): Entry => {
    if (entry.type !== "denial") return entry;
    const { reason: _, errors: __, ...rest } = entry;
    return { ...rest, type: "intent", decision: "allow", policies: ["small"] } as Entry;
  };

  test("unchanged, nothing differs", async () => {
    expect(await redecide(await forged((entry) => entry), { wasm: module })).toMatchObject({ decisions: 3, agreed: 3 });
  });

  test.each<[string, (entry: Entry) => Entry, number, string]>([
    ["an allowed call is logged as denied", asDenial, 1, "decision"],
    ["a denied call is logged as allowed", asIntent, 2, "decision"],
    [
      "another policy is logged",
      (entry) => (entry.type === "intent" ? { ...entry, policies: ["asked"] } : entry),
      1,
      "decision",
    ],
    [
      "another reason is logged",
      (entry) => (entry.type === "denial" && entry.reason === "forbidden" ? { ...entry, reason: "no-permit" } : entry),
      1,
      "decision",
    ],
    [
      "other facts are logged",
      (entry) => (entry.type === "denial" ? { ...entry, facts: { ...entry.facts, approved: true } } : entry),
      0,
      "decision",
    ],
    [
      "another shadow is logged",
      (entry) =>
        entry.type === "intent"
          ? { ...entry, shadow: { decision: "deny", reason: "forbidden", policies: ["few"], errors: [] } }
          : entry,
      1,
      "shadow",
    ],
    [
      "no shadow is logged",
      ({ ...entry }) => {
        delete (entry as { shadow?: unknown }).shadow;
        return entry;
      },
      3,
      "shadow",
    ],
    [
      "another agent is logged",
      (entry) => ("agent" in entry && "call" in entry ? { ...entry, agent: { ...entry.agent, name: "other" } } : entry),
      3,
      "callDigest",
    ],
  ])("%s", async (_, change, count, of) => {
    const { differing, agreed } = await redecide(await forged(change), { wasm: module });
    expect(differing.map((difference) => difference.of)).toEqual(Array(count).fill(of));
    expect(agreed).toBe(3 - count);
  });
});

describe("a decision is reported as undecided, not as agreeing, without", () => {
  const plain = `@id("all") permit (principal, action, resource);`;
  test.each<[string, object, (files: Map<string, Uint8Array>) => void, RegExp]>([
    ["the secrets of its input", { cents: 1, pin: "1234" }, () => {}, /without its secrets/],
    ["its input, which was erased", { cents: 1 }, (files) => files.delete("values/4.json"), /not in the bundle/],
    [
      "its policy",
      { cents: 1 },
      (files) => [...files.keys()].filter((path) => path.endsWith(".cedar")).map((path) => files.delete(path)),
      /not in the bundle/,
    ],
  ])("%s", async (_, input, change, why) => {
    const files = new Map<string, Uint8Array>(await (await record([plain], [call(input)])).bundle());
    change(files);
    const result = await redecide(inMemory(files), { wasm: module });
    expect(result).toMatchObject({ decisions: 1, agreed: 0, differing: [] });
    expect(result.undecided).toEqual([{ seq: 4, why: expect.stringMatching(why) }]);
  });
});

describe("simulate", () => {
  const plain = `@id("small") permit (principal, action, resource) when { context.input.cents < 100 };`;
  const decide = (source: PolicySource) =>
    createCedarEngine({ tools: [...tools.values()], budgets, wasm: module }).try(source);

  test("reports what another policy would have decided differently, and by which policies", async () => {
    const log = await record(
      [plain],
      [call({ cents: 10 }), call({ cents: 60 }), call({ cents: 200 }), { tool: "nope" }],
    );
    const bundle = inMemory(await log.bundle());
    const stricter = await decide(`@id("tiny") permit (principal, action, resource) when { context.input.cents < 50 };
      @id("ask") permit (principal, action, resource) when { context.vak.approved };`);
    const { decisions, same, changed, undecided } = await simulate(bundle, stricter);
    expect({ decisions, same, undecided }).toEqual({ decisions: 3, same: 1, undecided: [] });
    expect(changed).toMatchObject([
      {
        call: 2,
        tool: "send",
        agent: AGENT,
        was: { decision: "allow", policies: ["small"] },
        would: { decision: "ask", policies: ["ask"] },
      },
      { call: 3, was: { decision: "deny", reason: "no-permit" }, would: { decision: "ask", policies: ["ask"] } },
    ]);
  });

  test("the same policy changes nothing, and an invalid one is refused", async () => {
    const bundle = inMemory(await (await record([plain], [call({ cents: 10 }), call({ cents: 200 })])).bundle());
    expect(await simulate(bundle, await decide(plain))).toEqual({ decisions: 2, same: 2, changed: [], undecided: [] });
    await expect(decide("permit (")).rejects.toMatchObject({ code: "invalid-policy" });
  });
});

describe("vak policy replay", async () => {
  const folder = mkdtempSync(join(tmpdir(), "vak-redecide-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const command = await buildCli(folder);

  async function file(name: string, log: MemoryLog): Promise<string> {
    const path = join(folder, name);
    const files = await log.bundle();
    async function* each() {
      for (const [path, bytes] of files) yield { path, bytes };
    }
    writeFileSync(path, new Uint8Array(await (await zipFiles(each())).arrayBuffer()));
    return path;
  }
  const plain = `@id("small") permit (principal, action, resource) when { context.input.cents < 100 };`;

  test("a log that agrees: exit 0, and a list of the decisions that could not be made again", async () => {
    const path = await file(
      "good.zip",
      await record([plain], [call({ cents: 10 }), call({ cents: 200 }), call({ cents: 1, pin: "x" })]),
    );
    const { code, out, err } = await callVak("policy", "replay", path);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain("The log verifies.\nCedar agrees with the log: of 3 decisions, 2 come out the same.\n");
    expect(out).toMatch(/Not made again: 1\n {2}entry \d+: its input was kept without its secrets\n/);
    const json = await callVak("policy", "replay", path, "--json");
    expect(JSON.parse(json.out)).toMatchObject({ verified: true, problems: [], decisions: 3, agreed: 2 });
    expect(await command("policy", "replay", path)).toEqual({ code, out, err });
  });

  test("a log of which no decision can be made again: exit 1, because nothing was shown", async () => {
    const path = await file(
      "none.zip",
      await record([plain], [call({ cents: 1, pin: "x" }), call({ cents: 2, pin: "y" })]),
    );
    const { code, out } = await callVak("policy", "replay", path);
    expect(code).toBe(1);
    expect(out).toContain("NONE of the log's decisions can be made again.\nNot made again: 2\n");
    expect((await callVak("policy", "replay", path, "--json")).code).toBe(1);
    expect((await command("policy", "replay", path)).code).toBe(1);
  });

  test("a log without decisions: exit 0", async () => {
    const { code, out } = await callVak("policy", "replay", await file("empty.zip", await record([plain], [])));
    expect({ code, out }).toEqual({
      code: 0,
      out: "The log verifies.\nCedar agrees with the log: of 0 decisions, 0 come out the same.\n",
    });
  });

  test("a log that does not verify: exit 1, without making its decisions again", async () => {
    const log = await record([plain], [call({ cents: 10 })]);
    log.stored[4] = log.stored[4]!.slice();
    log.stored[4]![10]! ^= 1;
    const path = await file("bad.zip", log);
    const { code, out } = await callVak("policy", "replay", path);
    expect(code).toBe(1);
    expect(out).toMatch(/^THE LOG DOES NOT VERIFY\.\n {2}- entry 4 .*\n( {2}- .*\n)*$/);
    const json = await callVak("policy", "replay", path, "--json");
    expect(json.code).toBe(1);
    expect(Object.keys(JSON.parse(json.out))).toEqual(["verified", "problems"]);
    const { verified, problems } = JSON.parse(json.out);
    expect(verified).toBe(false);
    expect(problems[0].where).toMatch(/^entry 4 /);
  });

  test("no file: exit 2", async () => {
    expect(await callVak("policy", "replay")).toMatchObject({ code: 2, out: "" });
  });
});
