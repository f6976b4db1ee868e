/** The order and the fields of mount entries. */
import { beforeEach, expect, test } from "vitest";
import { verify } from "../../../src/audit/index.ts";
import { AGENT, logOpen, MemoryLog } from "./memory-log.ts";

const other = { ...AGENT, id: "a2" };
const digest = "ab".repeat(32);
const mount = { from: "directory" as const, readOnly: false, quotaBytes: 1, digest };
const write = { type: "mount-write" as const, agent: AGENT, previous: digest, digest, written: 1, removed: 0 };

let log: MemoryLog;
beforeEach(async () => {
  log = new MemoryLog();
  log.append(...(await logOpen()));
  const mounts = [
    { path: "/rw", ...mount },
    { path: "/ro", ...mount, readOnly: true },
  ];
  const spawn = { type: "agent-spawn" as const, limits: {}, seed: 1, isolation: "opaque", machine: "m" };
  log.append({ ...spawn, agent: AGENT, mounts });
  log.append({ ...spawn, agent: other });
});

test("only its agent reads and writes a mount, and nobody writes a read-only one", async () => {
  log.append({ type: "mount-read", agent: AGENT, mount: "/ro", digest });
  const writeOf = log.append({ ...write, mount: "/rw" });
  log.append({ type: "mount-written", agent: AGENT, writeOf, status: "ok", message: null });
  expect(() => log.append({ ...write, mount: "/ro" })).toThrow("is read-only");
  expect(() => log.append({ ...write, mount: "/none" })).toThrow('the agent has no mount "/none"');
  expect(() => log.append({ ...write, agent: other, mount: "/rw" })).toThrow("the agent has no mount");
  expect(() => log.append({ type: "mount-read", agent: other, mount: "/ro", digest })).toThrow("has no mount");
  log.commit();
  expect(await verify(await log.bundle())).toMatchObject({ ok: true });
});

test("the result of a write is logged once, by its agent, and with a message if it failed", () => {
  const writeOf = log.append({ ...write, mount: "/rw" });
  const written = { type: "mount-written" as const, agent: AGENT, writeOf, status: "error" as const, message: "why" };
  expect(() => log.append({ ...written, agent: other })).toThrow("is not an open mount-write of the agent");
  expect(() => log.append({ ...written, writeOf: 0 })).toThrow("is not an open mount-write");
  expect(() => log.append({ ...written, message: null })).toThrow("a message if and only if its status is error");
  expect(() => log.append({ ...written, status: "ok" })).toThrow("a message if and only if its status is error");
  log.append(written);
  expect(() => log.append(written)).toThrow("is not an open mount-write");
});

test("a revoked agent writes nothing, and a write without a result does not keep its agent from being closed", () => {
  log.append({ ...write, mount: "/rw" });
  log.append({ type: "agent-revoke", agent: AGENT });
  expect(() => log.append({ ...write, mount: "/rw" })).toThrow("rights were revoked");
  log.append({ type: "agent-close", agent: AGENT });
});

test("attack: a spawn with malformed mounts", () => {
  const spawn = {
    type: "agent-spawn" as const,
    agent: { ...AGENT, id: "a3" },
    limits: {},
    seed: 1,
    isolation: "opaque",
  };
  const bad = [
    [{ path: "/x", ...mount, from: "network" }],
    [{ path: "/x", ...mount, quotaBytes: -1 }],
    [{ path: "/x", ...mount, digest: "x" }],
    [{ path: "/x", ...mount, more: 1 }],
    [{ ...mount }],
    Array.from({ length: 17 }, (_, i) => ({ path: `/${i}`, ...mount })),
    "none",
  ];
  for (const mounts of bad) {
    expect(() => log.append({ ...spawn, machine: "m", mounts: mounts as never })).toThrow("mounts is not valid");
  }
});
