/** The command `vak replay`. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { zipFiles } from "../../../src/audit/bundle-writing.ts";
import { openBundle } from "../../../src/audit/index.ts";
import { commitValue } from "../../../src/audit/value.ts";
import { callDigest } from "../../../src/policy/digest.ts";
import { loadGuest } from "../../guests/load.ts";
import { buildCli } from "../../setup/cli.ts";
import { POLICY, type Step } from "../audit/memory-log.ts";
import { bundleOf, record, recordSteps } from "../replay/record.ts";
import { callVak } from "./call.ts";

const folder = mkdtempSync(join(tmpdir(), "vak-replay-"));
const log = join(folder, "log.zip");
const busy = join(folder, "busy.wasm");
let command: Awaited<ReturnType<typeof buildCli>>;
const replay = (...args: string[]) => callVak("replay", ...args);

async function writeZip(path: string, bundle: ReadonlyMap<string, Uint8Array<ArrayBuffer>>): Promise<void> {
  async function* files() {
    for (const [path, bytes] of bundle) yield { path, bytes };
  }
  writeFileSync(path, new Uint8Array(await (await zipFiles(files())).arrayBuffer()));
}

beforeAll(async () => {
  command = await buildCli(folder);
  const program = await loadGuest("busy");
  writeFileSync(busy, program);
  const runs = [{ args: ["4"] }, { args: ["2"] }];
  const bundle = await record([{ program, runs, answer: (_, { a, b }) => ({ ok: `${a}\u001b[31m${b}` }) }]);
  await writeZip(log, bundle);
});
afterAll(() => rmSync(folder, { recursive: true }));

test.each([
  [0, [log, "--program", busy]],
  [0, [log, "--run", "1", "--until", "2", "--json", "--program", busy]],
  [1, [log, "--run", "1", "--against", "2", "--program", busy]],
  [2, []],
])("as a process it ends with %i and prints the same: %j", async (code, args) => {
  const ended = await command("replay", ...args);
  expect(ended.code).toBe(code);
  expect(ended).toEqual(await replay(...args));
});

async function readLog(): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const bundle = await openBundle(new Uint8Array(readFileSync(log)));
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const path of await bundle.paths()) files.set(path, (await bundle.read(path, 2 ** 20))!.slice());
  return files;
}

test("--json: a log that does not verify, and cannot be read either, is reported all the same", async () => {
  const files = await readLog();
  for (const missing of ["checkpoint", [...files.keys()].find((path) => path.startsWith("tile/entries/"))!]) {
    const without = new Map(files);
    without.delete(missing);
    const path = join(folder, "without.zip");
    await writeZip(path, without);
    const { code, out, err } = await replay(path, "--json", "--program", busy);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ verified: false, problems: [{ where: missing }], replays: [] });
    expect(err).toContain(missing);
    const compared = await replay(path, "--json", "--program", busy, "--run", "1", "--against", "2");
    expect(compared.code).toBe(1);
    expect(JSON.parse(compared.out)).toEqual({
      verified: false,
      problems: [expect.objectContaining({ where: missing })],
    });
  }
});

test("a value that is missing in a folder is missing as in a zip, and the rest is replayed", async () => {
  const files = await readLog();
  files.delete([...files.keys()].filter((path) => path.startsWith("values/")).at(-1)!);
  const zip = join(folder, "missing.zip");
  await writeZip(zip, files);
  const root = join(folder, "missing");
  for (const [path, bytes] of files) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), bytes);
  }
  for (const [command, options] of [
    [["replay"], ["--program", busy]],
    [["policy", "replay"], []],
  ] as const) {
    const ended = await callVak(...command, root, ...options);
    expect(ended).toEqual(await callVak(...command, zip, ...options));
    expect(ended).toMatchObject({ out: expect.stringContaining("Cedar agrees with the log"), err: "" });
  }
});

test("all runs, or one by number or id, are the same: exit code 0", async () => {
  const { code, out } = await replay(log, "--program", busy);
  expect(out).toMatch(
    /^The log verifies\.\n\nRun agent-0\/1: the same\n {2}2 calls, \d+ units of fuel\n\nRun agent-0\/2: the same\n {2}1 call, \d+ units of fuel\n\nCedar agrees with the log: of 3 decisions, 3 come out the same\.\n$/,
  );
  expect(code).toBe(0);
  for (const run of ["2", "agent-0/2"]) {
    expect((await replay(log, "--run", run, "--program", busy)).out).toMatch(
      /^The log verifies\.\n\nRun agent-0\/2: the same\n/,
    );
  }
  const report = JSON.parse((await replay(log, "--json", "--program", busy)).out);
  expect(report).toMatchObject({ verified: true, problems: [], replays: [{ verdict: "same" }, { verdict: "same" }] });
});

test("a run whose page was lost: how far it is the same, and exit code 1", async () => {
  const runs = [{ args: ["12"], partAt: (call: number) => (call === 4 ? ("waiting" as const) : undefined), goneAt: 5 }];
  const steps = await recordSteps([{ program: new Uint8Array(readFileSync(busy)), runs }]);
  const interrupted = join(folder, "interrupted.zip");
  await writeZip(interrupted, await bundleOf(steps));
  const { code, out } = await replay(interrupted, "--program", busy);
  expect(out).toMatch(
    /Run agent-0\/1: the same as far as its trace was stored\n {2}4 calls, (\d+) units of fuel\n {2}the page was closed or lost before it ended: what is stored of its trace goes to call 4 and \1 units of fuel; the log has 1 later call of it, not compared\n/,
  );
  expect(code).toBe(1);
  const { replays } = JSON.parse((await replay(interrupted, "--json", "--program", busy)).out);
  expect(replays).toMatchObject([{ verdict: "interrupted", divergence: null, calls: 4 }]);
});

test("another program: where it first differs, and exit code 1", async () => {
  const other = join(folder, "call.wasm");
  writeFileSync(other, await loadGuest("call"));
  const { code, out } = await replay(log, "--run", "1", "--program", other);
  expect(out).toMatch(
    /Run agent-0\/1: DIVERGED\n.*\n {2}first at call 1, after \d+ units of fuel\n {2}input, from byte \d+ on\n {4}recorded {2}\{.*\n {4}replayed {2}\{/,
  );
  expect(code).toBe(1);
});

test("no program: the digest of the one that is missing, and exit code 1", async () => {
  const { code, out } = await replay(log);
  expect(out).toMatch(
    /Run agent-0\/1: NOT REPLAYED TO ITS END\n[\s\S]*give the file with the SHA-256 [0-9a-f]{64}.* with --program <file>\.\n/,
  );
  expect(code).toBe(1);
  expect((await replay(log, "--run", "1")).err).toMatch(/ with --program <file>\.\n$/);
});

test("--until shows the state at a call, and a tool's answer cannot move the cursor", async () => {
  const { code, out } = await replay(log, "--run", "1", "--until", "2", "--program", busy);
  expect(out).toMatch(
    /stopped at the call \{"tool":"add","input":\{"a":4,"b":\d+\}\}\n {2}131072 bytes of memory\n {2}progress\.txt {2}\d+ bytes\n {2}stdout so far\n {4}1 /,
  );
  expect(code).toBe(0);
  expect((await replay(log, "--run", "1", "--until", "9", "--program", busy)).out).toContain(
    "the run ended before that call",
  );
  const { out: compared, code: differs } = await replay(log, "--run", "1", "--against", "2", "--program", busy);
  expect(compared).toMatch(/The runs differ:\n {2}given {2}number of the run\n {2}given {2}args\n/);
  expect(compared).not.toContain("\u001b");
  expect(differs).toBe(1);
  expect((await replay(log, "--run", "1", "--against", "1", "--program", busy)).out).toContain(
    "The runs are the same.",
  );
});

test.each([
  [[], /Give a zip file/],
  [["log.zip", "--run", "1", "--until", "x"], /--until takes the number of a call/],
  [["log.zip", "--until", "1"], /--until takes the number of a call/],
  [["log.zip", "--against", "1"], /give --run too/],
  [["log.zip", "--run", "1", "--until", "1", "--against", "2"], /Give --until or --against, not both/],
  [["log.zip", "--program", "/no/such/file"], /There is no file \/no\/such\/file\./],
  [["/no/such/log.zip"], /There is no file \/no\/such\/log\.zip\./],
])("misuse: exit code 2 for %j", async (args, message) => {
  const { code, err } = await replay(...args);
  expect(err).toMatch(message);
  expect(code).toBe(2);
});

test("a run that is not in the log: exit code 1", async () => {
  const { code, err } = await replay(log, "--run", "3", "--program", busy);
  expect(err).toBe("vak: There is no run 3 in the log; it has 2 runs.\n");
  expect(code).toBe(1);
});

/**
 * A log forged by somebody who has the key, so that it verifies. It records one run of six calls; the forger changes
 * what it says about the fourth, or what decided it.
 */
describe("attack: a forged log that verifies", () => {
  let honest: Step[];
  beforeAll(async () => {
    const program = await loadGuest("busy");
    const answer = (_: string, { a, b }: { [field: string]: unknown }) => ({ ok: (a as number) + (b as number) });
    honest = await recordSteps([{ program, answer, runs: [{ args: ["12"] }] }]);
  });
  const place = (type: string, call?: number) =>
    honest.findIndex(
      ([draft]) => draft.type === type && (call === undefined || ("call" in draft && draft.call === call)),
    );

  /** What the command prints for the log with other steps in these places. */
  async function forge(edits: Record<number, Step>) {
    const path = join(folder, "forged.zip");
    await writeZip(path, await bundleOf(honest.map((step, i) => edits[i] ?? step)));
    const { code, out } = await replay(path, "--run", "1", "--program", busy);
    expect(out).toMatch(/^The log verifies\.\n/);
    return { code, out };
  }

  test("nothing forged: it is the same", async () => {
    const { code, out } = await forge({});
    expect(out).toContain("Run agent-0/1: the same");
    expect(out).toContain("of 6 decisions, 6 come out the same");
    expect(code).toBe(0);
  });

  test("a forged answer: the next call asks for something else", async () => {
    const at = place("outcome", 4);
    const { code, out } = await forge({ [at]: [honest[at]![0], { output: 99_999 }] });
    expect(out).toMatch(/DIVERGED\n.*\n {2}first at call 5, after \d+ units of fuel\n {2}input, from byte \d+ on\n/);
    expect(code).toBe(1);
  });

  test("a forged input: it differs at its call", async () => {
    const at = place("intent", 4);
    const { code, out } = await forge({ [at]: [honest[at]![0], { commitment: commitValue("input", { a: 1, b: 2 }) }] });
    expect(out).toMatch(
      /DIVERGED\n.*\n {2}first at call 4, after \d+ units of fuel\n {2}input, .*\n {4}recorded {2}\{"a":1,"b":2\}\n/,
    );
    expect(code).toBe(1);
  });

  test("a forged trace: the fuel at a call differs", async () => {
    const at = place("run-end");
    const { commitment } = honest[at]![1]!;
    const { trace } = JSON.parse(new TextDecoder().decode(commitment!.file));
    trace.value.calls[3][0]++;
    const forged = { commitment: commitValue("trace", trace.value) };
    const { code, out } = await forge({ [at]: [honest[at]![0], forged] });
    expect(out).toMatch(/DIVERGED\n.*\n {2}first at call 4, after \d+ units of fuel\n {2}fuel\n/);
    expect(code).toBe(1);
  });

  test("a forged policy: the decisions that it would not have made are listed, from the first on", async () => {
    const at = place("policy-load");
    const base = honest[at]![1]!.base!;
    const policy = POLICY.replace(";", " when { context.input.a < 5 };");
    const policyDigest = bytesToHex(sha256(new TextEncoder().encode(policy)));
    const edits: Record<number, Step> = { [at]: [honest[at]![0], { policy, base }] };
    for (const [i, [draft, attached]] of honest.entries()) {
      if (draft.type !== "intent") continue;
      const bound = callDigest(draft.agent, draft.resource, attached!.commitment!.digest, policyDigest);
      edits[i] = [{ ...draft, policyDigest, callDigest: bound }, attached!];
    }
    const { code, out } = await forge(edits);
    // The calls have 2, 4, 6, …: the third is the first that this policy denies.
    expect(out).toContain("Run agent-0/1: the same");
    expect(out).toMatch(/Cedar DOES NOT AGREE with the log: of 6 decisions, 2 come out the same/);
    expect(out).toContain(`entry ${place("intent", 3)}`);
    expect(out).not.toContain(`entry ${place("intent", 2)}`);
    expect(code).toBe(1);
  });

  test("a forged program: another module, which the log names", async () => {
    const other = join(folder, "other.wasm");
    const bytes = new Uint8Array(readFileSync(busy));
    const prime = [0x93, 0x83, 0x80, 0x08]; // 16777619, as a constant in the code
    for (let at = 0; at < bytes.length; at++) if (prime.every((byte, j) => bytes[at + j] === byte)) bytes[at] = 0x95;
    writeFileSync(other, bytes);
    const digest = bytesToHex(sha256(bytes));
    const path = join(folder, "module.zip");
    const steps = honest.map(([draft, attached]): Step => {
      const named = "agent" in draft ? { ...draft, agent: { ...draft.agent, program: digest } } : draft;
      return [named as Step[0], attached ?? {}];
    });
    await writeZip(path, await bundleOf(steps));
    const { code, out } = await replay(path, "--program", other);
    expect(out).toMatch(
      /^The log verifies\.\n\nRun agent-0\/1: DIVERGED\n.*\n {2}first at call 1, .*\n {2}input, from byte/,
    );
    expect(code).toBe(1);
  });
});

test("attack: a value, a policy or a program changed in the zip without the key: the log does not verify", async () => {
  const program = await loadGuest("busy");
  const steps = await recordSteps([{ program, runs: [{ args: ["4"] }], answer: () => ({ ok: 1 }) }]);
  const bundle = await bundleOf(steps);
  bundle.set(`programs/${bytesToHex(sha256(program))}.wasm`, program);
  const changed = [...bundle.keys()].filter((path) => /^(values|policies|programs)\//.test(path));
  expect(changed.length).toBeGreaterThan(7);
  for (const path of changed) {
    const bytes = bundle.get(path)!.slice();
    bytes[bytes.length >> 1]! ^= 1;
    const zip = join(folder, "changed.zip");
    await writeZip(zip, new Map(bundle).set(path, bytes));
    const { code, out } = await replay(zip, "--run", "1");
    expect({ path, code, out: out.split("\n")[0] }).toEqual({ path, code: 1, out: "THE LOG DOES NOT VERIFY." });
    expect(out).toContain(`  - ${path}: `);
  }
});

test("a log that does not verify, and replays the same: that is only according to it", async () => {
  const program = await loadGuest("busy");
  const steps = await recordSteps([{ program, runs: [{ args: ["4"] }], answer: () => ({ ok: 1 }) }]);
  const zip = join(folder, "extra.zip");
  await writeZip(zip, new Map(await bundleOf(steps)).set("extra", Uint8Array.of(1)));
  const { code, out } = await replay(zip, "--program", busy);
  expect(out).toMatch(
    /^THE LOG DOES NOT VERIFY\.\n {2}- extra: .*\n\nRun agent-0\/1: the same \(according to a log that does not verify\)\n/,
  );
  expect(code).toBe(1);
  const compared = await replay(zip, "--run", "1", "--against", "1", "--program", busy);
  expect(compared.out).toContain("The runs are the same (according to a log that does not verify).\n");
  expect(compared.code).toBe(1);
});

test("a log of one run has 1 run", async () => {
  const program = await loadGuest("busy");
  const zip = join(folder, "single.zip");
  await writeZip(zip, await record([{ program, runs: [{ args: ["1"] }], answer: () => ({ ok: 1 }) }]));
  const { err } = await replay(zip, "--run", "9", "--program", busy);
  expect(err).toBe("vak: There is no run 9 in the log; it has 1 run.\n");
});
