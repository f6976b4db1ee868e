/** The order of lease entries. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { beforeEach, expect, test } from "vitest";
import { AGENT, logOpen, MemoryLog, POLICY } from "./memory-log.ts";

const policyDigest = bytesToHex(sha256(utf8ToBytes(POLICY)));
const other = { ...AGENT, id: "a2" };
const permit = "permit (principal, action, resource);";

let log: MemoryLog;
let lease: number;
beforeEach(async () => {
  log = new MemoryLog();
  log.append(...(await logOpen()));
  log.append({ type: "policy-load", policies: ["policy0"] }, { policy: POLICY });
  for (const agent of [AGENT, other]) {
    log.append({ type: "agent-spawn", agent, limits: {}, seed: 1, isolation: "opaque", machine: "m" });
    log.append({ type: "run-start", agent, run: agent.id, args: [], env: [], startTime: 0 });
  }
  lease = log.append({ type: "lease", agent: AGENT, permit, policies: ["lease0"], policyDigest, until: null });
});

function call(agent: typeof AGENT, by: number, digest = policyDigest): number {
  const position = { agent, run: agent.id, call: 1, action: "call:add", resource: "add", callDigest: "cd".repeat(32) };
  const decided = { decision: "allow" as const, policies: ["lease0"], policyDigest: digest, lease: by };
  return log.append({ type: "intent", ...position, ...decided }, { input: {} });
}

test("an intent by a lease comes while the lease lasts, from its agent, under its policy", () => {
  call(AGENT, lease);
  expect(() => call(other, lease)).toThrow("lease of the agent");
  expect(() => call(AGENT, 2)).toThrow("entry 2 is not a lease of the agent");
  const second = "forbid (principal, action, resource);";
  log.append({ type: "policy-load", policies: ["policy0"] }, { policy: second });
  expect(() => call(AGENT, lease, bytesToHex(sha256(utf8ToBytes(second))))).toThrow("lease of the agent");
  log.append({ type: "lease-end", agent: AGENT, lease });
  expect(() => call(AGENT, lease)).toThrow("lease of the agent");
});

test("a lease ends once, for its own agent, and needs a policy that was loaded", () => {
  expect(() => log.append({ type: "lease-end", agent: other, lease })).toThrow("lease of the agent");
  log.append({ type: "lease-end", agent: AGENT, lease });
  expect(() => log.append({ type: "lease-end", agent: AGENT, lease })).toThrow("is not an open lease of the agent");
  const unknown = { agent: AGENT, permit, policies: [], policyDigest: "00".repeat(32), until: null };
  expect(() => log.append({ type: "lease", ...unknown })).toThrow("no policy with the digest");
});
