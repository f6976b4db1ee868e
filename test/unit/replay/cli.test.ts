import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { zipFiles } from "../../../src/audit/bundle.ts";
import { loadGuest } from "../../guests/load.ts";
import { buildCli } from "../../setup/cli.ts";
import { record } from "./record.ts";

const folder = mkdtempSync(join(tmpdir(), "vak-replay-"));
const log = join(folder, "log.zip");
const busy = join(folder, "busy.wasm");
let vak: Awaited<ReturnType<typeof buildCli>>;

beforeAll(async () => {
  const command = await buildCli(folder);
  vak = (...args) => command("replay", ...args);
  const program = await loadGuest("busy");
  writeFileSync(busy, program);
  const runs = [{ args: ["4"] }, { args: ["2"] }];
  const bundle = await record([{ program, runs, answer: (_, { a, b }) => ({ ok: `${a}\u001b[31m${b}` }) }]);
  async function* files() {
    for (const [path, bytes] of bundle) yield { path, bytes };
  }
  writeFileSync(log, new Uint8Array(await (await zipFiles(files())).arrayBuffer()));
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

test("all runs, or one of them by number or id: the same, exit code 0", async () => {
  const { code, out } = await vak(log, "--program", busy);
  expect(out).toMatch(
    /^The log verifies\.\n\nRun agent-0\/1: the same\n {2}2 calls, \d+ units of fuel\n\nRun agent-0\/2: the same\n {2}1 call, \d+ units of fuel\n\nCedar agrees with the log: of 3 decisions, 0 come out the same\.\nNot made again: 3\n/,
  );
  expect(code).toBe(0);
  for (const run of ["2", "agent-0/2"]) {
    expect((await vak(log, "--run", run, "--program", busy)).out).toMatch(
      /^The log verifies\.\n\nRun agent-0\/2: the same\n/,
    );
  }
  const report = JSON.parse((await vak(log, "--json", "--program", busy)).out);
  expect(report).toMatchObject({ verified: true, problems: [], replays: [{ verdict: "same" }, { verdict: "same" }] });
});

test("another program: where it first does something else, exit code 1", async () => {
  const other = join(folder, "call.wasm");
  writeFileSync(other, await loadGuest("call"));
  const { code, out } = await vak(log, "--run", "1", "--program", other);
  expect(out).toMatch(
    /Run agent-0\/1: DIVERGED\n.*\n {2}first at call 1, after \d+ units of fuel\n {2}input, from byte \d+ on\n {4}recorded {2}\{.*\n {4}replayed {2}\{/,
  );
  expect(code).toBe(1);
});

test("no program: what is missing, by its digest, exit code 1", async () => {
  const { code, out } = await vak(log);
  expect(out).toMatch(/Run agent-0\/1: NOT REPLAYED TO ITS END\n[\s\S]*give the file with the SHA-256 [0-9a-f]{64}/);
  expect(code).toBe(1);
});

test("--until shows how things stand at a call; what a tool answered cannot move the cursor", async () => {
  const { code, out } = await vak(log, "--run", "1", "--until", "2", "--program", busy);
  expect(out).toMatch(
    /stopped where it asks \{"tool":"add","input":\{"a":4,"b":\d+\}\}\n {2}131072 bytes of memory\n {2}progress\.txt {2}\d+ bytes\n {2}stdout so far\n {4}1 /,
  );
  expect(code).toBe(0);
  expect((await vak(log, "--run", "1", "--until", "9", "--program", busy)).out).toContain("it ended before that call");
  const { out: compared, code: differs } = await vak(log, "--run", "1", "--against", "2", "--program", busy);
  expect(compared).toMatch(/The runs differ:\n {2}given {2}number of the run\n {2}given {2}args\n/);
  expect(compared).not.toContain("\u001b");
  expect(differs).toBe(1);
  expect((await vak(log, "--run", "1", "--against", "1", "--program", busy)).out).toContain("The runs are the same.");
});

test.each([
  [[], /Give a zip file/],
  [["log.zip", "--run", "1", "--until", "x"], /--until is the number of a call/],
  [["log.zip", "--until", "1"], /--until is the number of a call/],
  [["log.zip", "--against", "1"], /--against is the run/],
  [["log.zip", "--program", "/no/such/file"], /no such file/],
  [["/no/such/log.zip"], /no such file/],
])("misuse, exit code 2: %j", async (args, message) => {
  const { code, err } = await vak(...args);
  expect(err).toMatch(message);
  expect(code).toBe(2);
});

test("a run that is not there: exit code 1", async () => {
  const { code, err } = await vak(log, "--run", "3", "--program", busy);
  expect(err).toBe("vak: There is no run 3 in the log; it has 2 runs.\n");
  expect(code).toBe(1);
});
