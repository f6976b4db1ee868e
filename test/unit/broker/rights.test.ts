/** Rights: granted, narrowed, revoked and verified. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import fc from "fast-check";
import { expect, test } from "vitest";
import { verify } from "../../../src/audit/verify.ts";
import { checkGrants, Rights } from "../../../src/broker/rights.ts";
import { AGENT, logOpen, MemoryLog, POLICY } from "../audit/memory-log.ts";

const TOOLS = ["a", "b", "c", "d"];
const held = (rights: Rights): string[] => TOOLS.filter((tool) => rights.has(tool));

type Step = { do: "spawn" | "attenuate" | "revoke" | "call"; at: number; tools: string[] | undefined };
const step: fc.Arbitrary<Step> = fc.record({
  do: fc.constantFrom("spawn", "spawn", "attenuate", "revoke", "call", "call"),
  at: fc.nat(5),
  tools: fc.option(fc.subarray(TOOLS), { nil: undefined }),
});

test("no agent ever has more rights than its parent, or than it had, and the log takes only calls that it has a right to", async () => {
  const policyDigest = bytesToHex(sha256(utf8ToBytes(POLICY)));
  const [open] = [await logOpen()];
  await fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const log = new MemoryLog();
      log.append(...open);
      log.append({ type: "policy-load", policies: ["policy0"] }, { policy: POLICY });
      const agents: { rights: Rights; parent: Rights | undefined; id: string; before: string[]; calls: number }[] = [];
      const ref = (id: string) => ({ ...AGENT, id });
      const spawn = (parent: (typeof agents)[number] | undefined, grants: string[] | undefined) => {
        const id = `a${agents.length}`;
        const handed = { ...(parent && { parent: parent.id }), ...(grants && { grants }) };
        const more = { limits: {}, seed: 1, isolation: "opaque", machine: "m", ...handed };
        log.append({ type: "agent-spawn", agent: ref(id), ...more });
        log.append({ type: "run-start", agent: ref(id), run: `${id}/1`, args: [], env: [], startTime: 0 });
        const rights = new Rights(parent?.rights, grants);
        agents.push({ rights, parent: parent?.rights, id, before: held(rights), calls: 0 });
      };
      spawn(undefined, undefined);
      for (const { do: what, at, tools } of steps) {
        const agent = agents[at % agents.length]!;
        const { rights, id } = agent;
        const wanted = tools ?? TOOLS;
        const allowed = !rights.revoked && wanted.every((tool) => rights.has(tool));
        if (what === "spawn") {
          if (tools === undefined ? !rights.revoked : allowed) spawn(agent, tools && checkGrants(tools, rights));
          else {
            const more = { limits: {}, seed: 1, isolation: "opaque", machine: "m", parent: id, grants: wanted };
            expect(() => log.append({ type: "agent-spawn", agent: ref("x"), ...more })).toThrow(
              /to pass on|were revoked/,
            );
          }
        } else if (what === "attenuate") {
          const entry = { type: "agent-attenuate", agent: ref(id), grants: wanted } as const;
          if (allowed) {
            rights.narrow(checkGrants(wanted, rights));
            log.append(entry);
          } else expect(() => log.append(entry)).toThrow(/to pass on|were revoked/);
        } else if (what === "revoke") {
          if (rights.revoke()) log.append({ type: "agent-revoke", agent: ref(id) });
        } else {
          for (const tool of TOOLS) {
            const call = {
              agent: ref(id),
              run: `${id}/1`,
              call: ++agent.calls,
              action: `call:${tool}`,
              resource: tool,
            };
            const rest = {
              callDigest: "cd".repeat(32),
              decision: "allow" as const,
              policies: ["policy0"],
              policyDigest,
            };
            const append = () => log.append({ type: "intent", ...call, ...rest }, { input: {} });
            if (rights.has(tool)) append();
            else expect(append).toThrow(`the agent has no right to "${tool}"`);
          }
        }
        for (const one of agents) {
          const now = held(one.rights);
          expect(one.before).toEqual(expect.arrayContaining(now));
          if (one.parent) expect(held(one.parent)).toEqual(expect.arrayContaining(now));
          if (one.rights.revoked) expect(now).toEqual([]);
          one.before = now;
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("a log with rights that were granted, narrowed and revoked verifies, even with a closed parent", async () => {
  const log = new MemoryLog();
  log.append(...(await logOpen()));
  const child = { ...AGENT, id: "a2" };
  const more = { limits: {}, seed: 1, isolation: "opaque", machine: "m" };
  log.append({ type: "agent-spawn", agent: AGENT, ...more, grants: ["a", "b"] });
  log.append({ type: "agent-spawn", agent: child, ...more, parent: AGENT.id, grants: ["a"] });
  log.append({ type: "agent-attenuate", agent: AGENT, grants: ["b"] });
  log.append({ type: "agent-close", agent: AGENT });
  // It keeps what its parent had when that was closed, and that had no right to "a".
  expect(() => log.append({ type: "agent-attenuate", agent: child, grants: ["a"] })).toThrow("to pass on");
  log.append({ type: "agent-revoke", agent: child });
  expect(() => log.append({ type: "agent-revoke", agent: child })).toThrow("were revoked already");
  log.append({ type: "agent-close", agent: child });
  log.commit();
  expect((await verify(await log.bundle())).problems).toEqual([]);
});

test.each([["x"], [1], [null], [["a"]]])("%j cannot be granted", (tool) => {
  expect(() => checkGrants([tool as string], new Rights(undefined, ["a"]))).toThrow(
    expect.objectContaining({ code: "invalid-argument" }),
  );
});

test("grants are a list, sorted and without duplicates", () => {
  expect(checkGrants(["b", "a", "b"], new Rights())).toEqual(["a", "b"]);
  expect(() => checkGrants("a" as never, new Rights())).toThrow("a list");
});
