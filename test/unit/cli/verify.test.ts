/** The command `vak verify`. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { zipFiles } from "../../../src/audit/bundle-writing.ts";
import type { Draft } from "../../../src/audit/entry.ts";
import { makeProof } from "../../../src/tlog/proof.ts";
import { buildCli } from "../../setup/cli.ts";
import { AGENT, logOpen, MemoryLog, POLICY, type Step, scenario, signed } from "../audit/memory-log.ts";
import { callVak } from "./call.ts";

const folder = mkdtempSync(join(tmpdir(), "vak-cli-"));
let command: Awaited<ReturnType<typeof buildCli>>;
const DIGEST = bytesToHex(sha256(utf8ToBytes(POLICY)));
let vkey: string;
let files: Map<string, Uint8Array<ArrayBuffer>>;

beforeAll(async () => {
  command = await buildCli(folder);
  vkey = (await signed(0, new Uint8Array(32))).vkey;
  files = await makeLog(scenario(DIGEST));
});

afterAll(() => rmSync(folder, { recursive: true }));

async function logOf(steps: readonly Step[]): Promise<MemoryLog> {
  const log = new MemoryLog();
  log.append(...(await logOpen()));
  for (const step of steps) log.append(...step);
  log.commit();
  return log;
}

const makeLog = async (steps: readonly Step[]) => (await logOf(steps)).bundle();

/** A receipt for entry 6 of the good log, an intent. */
async function writeReceipt(name: string): Promise<{ path: string; receipt: string }> {
  const log = await logOf(scenario(DIGEST));
  const receipt = await makeProof(log, 6, (await signed(13, log.writer.root())).note, 13);
  const path = join(folder, name);
  writeFileSync(path, receipt);
  return { path, receipt };
}

async function writeZip(name: string, content: Map<string, Uint8Array<ArrayBuffer>>): Promise<string> {
  async function* each() {
    for (const [path, bytes] of content) yield { path, bytes };
  }
  const path = join(folder, name);
  writeFileSync(path, new Uint8Array(await (await zipFiles(each())).arrayBuffer()));
  return path;
}

function writeFolder(name: string, content: Map<string, Uint8Array<ArrayBuffer>>): string {
  const root = join(folder, name);
  for (const [path, bytes] of content) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), bytes);
  }
  return root;
}

describe("vak verify", () => {
  test("as a process it ends with the same exit code and prints the same", async () => {
    const log = await writeZip("process.zip", files);
    const bad = await writeZip("process-bad.zip", new Map(files).set("keys.txt", new Uint8Array()));
    const { path: receipt } = await writeReceipt("process.tlog-proof");
    const ways: [code: number, args: string[]][] = [
      [0, [log]],
      [0, [writeFolder("process", files), "--json", "--key", vkey]],
      [0, [receipt, "--key", vkey]],
      [1, [bad]],
      [2, [receipt]], // without a key
      [2, [join(folder, "none.zip")]],
    ];
    for (const [code, args] of ways) {
      const ended = await command("verify", ...args);
      expect(ended.code).toBe(code);
      expect(ended).toEqual(await callVak("verify", ...args));
    }
    const help = await command("--help");
    expect(help.code).toBe(0);
    expect(help).toEqual(await callVak("--help"));
  });

  test("a good log: exit code 0, and what happened in it", async () => {
    for (const path of [await writeZip("good.zip", files), writeFolder("good", files)]) {
      const { code, out, err } = await callVak("verify", path, "--key", vkey);
      expect({ code, err }).toEqual({ code: 0, err: "" });
      expect(out).toContain("The log verifies.");
      expect(out).toContain(vkey);
      expect(out).toContain("Run r1 of tester, program abababababab, from entry 5");
      expect(out).toMatch(/allowed {2}call:add on tool:add {2}by policy0 {2}×2/);
      expect(out).toMatch(/denied {3}call:fetch on tool:add {2}no-permit/);
      expect(out).toContain("exited with code 0");
      expect(out).not.toContain("Not checked");
    }
  });

  test("declassifications: what, by whom and why, with control characters spelled out", async () => {
    const spawn = { limits: {}, seed: 1, isolation: "opaque", machine: "m", labels: ["secret", "untrusted"] };
    const by = { by: "ann", reason: "I read it.\u202e" };
    const steps: Step[] = [
      [{ type: "agent-spawn", agent: AGENT, ...spawn }],
      [{ type: "agent-declassify", agent: AGENT, labels: ["secret"], ...by }],
    ];
    const { code, out } = await callVak("verify", await writeZip("declassified.zip", await makeLog(steps)));
    expect(code).toBe(0);
    expect(out).toContain("Entry 2: secret of tester declassified by ann: I read it.\\u{202e}\n");
  });

  test("without a key: it says that the bundle's own key was used", async () => {
    const { code, out } = await callVak("verify", await writeZip("good.zip", files));
    expect(code).toBe(0);
    expect(out).toContain("Not checked:\n  - the key came with the bundle");
  });

  test("--json prints the report as JSON", async () => {
    const { code, out } = await callVak("verify", await writeZip("good.zip", files), "--json", "--key", vkey);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ ok: true, size: 13, problems: [], notChecked: [] });
  });

  test("a receipt: exit code 0 and the entry, or exit code 1 when it proves nothing", async () => {
    const { path, receipt } = await writeReceipt("call.tlog-proof");
    const good = await callVak("verify", path, "--key", vkey);
    expect(good).toMatchObject({ code: 0, err: "" });
    expect(good.out).toContain("The receipt verifies: entry 6 of 13");
    expect(good.out).toContain('"type": "intent"');
    const json = await callVak("verify", path, "--key", vkey, "--json");
    expect(JSON.parse(json.out)).toMatchObject({ ok: true, seq: 6, size: 13, entry: { type: "intent" } });
    expect((await callVak("verify", path)).code).toBe(2);
    writeFileSync(path, `\ufeff${receipt}`);
    expect((await callVak("verify", path, "--key", vkey)).err).toContain(
      "The receipt proves nothing: it does not begin with",
    );
    writeFileSync(path, receipt.replace("index 6", "index 7"));
    expect(await callVak("verify", path, "--key", vkey)).toMatchObject({ code: 1, out: "" });
  });

  test("a changed byte in any file: exit code 1, and the file is named", async () => {
    for (const [path, bytes] of files) {
      const changed = new Map(files).set(
        path,
        bytes.map((byte, i) => (i === bytes.length >> 1 ? byte ^ 1 : byte)),
      );
      const { code, out, err } = await callVak("verify", await writeZip("bad.zip", changed));
      expect(code, path).toBe(1);
      expect(out).toContain("THE LOG DOES NOT VERIFY.");
      expect(err).toBe("");
      const problems = out.slice(0, out.indexOf("\n\n"));
      expect(problems, path).toContain(path === "tile/entries/000.p/13" ? "entry" : `  - ${path}: `);
    }
  });

  describe("another key", () => {
    let other: string;
    beforeAll(async () => {
      other = (await signed(0, new Uint8Array(32), new Uint8Array(32).fill(8))).vkey;
    });

    test("exit code 1, and who signed the log instead; nothing else of it counts", async () => {
      const { code, out, err } = await callVak("verify", await writeZip("good.zip", files), "--key", other);
      expect({ code, err }).toEqual({ code: 1, err: "" });
      expect(out).toBe(
        `THE LOG DOES NOT VERIFY.\n  - checkpoint: The log is signed by ${vkey}, not by the key you gave.\n\n` +
          "  origin   ?\n  entries  ?\n  root     ?\n\n",
      );
    });

    test("the other commands say so too, and several keys are any of them", async () => {
      const path = await writeZip("good.zip", files);
      for (const command of [["verify"], ["replay"], ["policy", "replay"]]) {
        const { code, out } = await callVak(...command, path, "--key", other, "--key", other);
        expect(code).toBe(1);
        expect(out).toContain(`  - checkpoint: The log is signed by ${vkey}, not by any of the keys you gave.\n`);
      }
    });

    test("with --json: the problem is in the report and on stderr", async () => {
      const { code, out, err } = await callVak("verify", await writeZip("good.zip", files), "--key", other, "--json");
      const message = `The log is signed by ${vkey}, not by the key you gave.`;
      expect({ code, err }).toEqual({ code: 1, err: `checkpoint: ${message}\n` });
      expect(JSON.parse(out)).toMatchObject({ origin: "", problems: [{ where: "checkpoint", message }] });
    });

    test("attack: a log lists the known key, which did not sign it, beside its own: who signed it is named", async () => {
      const lists = new Map(files).set("keys.txt", utf8ToBytes(`${vkey}\n${other}\n`));
      const { code, out } = await callVak("verify", await writeZip("beside.zip", lists), "--key", other);
      expect(code).toBe(1);
      expect(out).toContain(`  - checkpoint: The log is signed by ${vkey}, not by the key you gave.\n`);
      expect(out).toContain(`  - keys.txt: the log does not mention the key ${other}\n`);
    });

    test("attack: a log that lists a key which did not sign it is not said to be signed by that key", async () => {
      const lists = new Map(files).set("keys.txt", utf8ToBytes(`${other}\n`));
      const third = (await signed(0, new Uint8Array(32), new Uint8Array(32).fill(9))).vkey;
      const { code, out } = await callVak("verify", await writeZip("lists.zip", lists), "--key", third);
      expect(code).toBe(1);
      expect(out).toContain("  - checkpoint: No signature is by a known key.\n\n  origin   ?\n");
    });
  });

  test("a file that is not a bundle: exit code 1, and one line says why", async () => {
    const path = join(folder, "text.zip");
    writeFileSync(path, "no zip");
    expect(await callVak("verify", path)).toEqual({
      code: 1,
      out: "",
      err: `vak: ${path}: It is not a zip file, or it was cut short.\n`,
    });
    mkdirSync(join(folder, "empty"));
    const empty = await callVak("verify", join(folder, "empty"));
    expect(empty.code).toBe(1);
    expect(empty.out).toContain("  - checkpoint: the file is missing\n");
    expect(empty.out).not.toContain("ENOENT");
  });

  test("attack: a link out of the directory is not followed", async () => {
    const root = writeFolder("linked", files);
    rmSync(join(root, "keys.txt"));
    symlinkSync(join(folder, "good", "keys.txt"), join(root, "keys.txt"));
    const { code, out } = await callVak("verify", root);
    expect(code).toBe(1);
    expect(out).toContain("  - keys.txt: It cannot be opened");
  });

  test.each([
    [[], "Give a command"],
    [["inspect"], 'no command "inspect"'],
    [["verify"], "Give a zip"],
    [["verify", "/nowhere", "b"], "vak: There is no file /nowhere."],
    [["verify", "/nowhere/log.zip"], "vak: There is no file /nowhere/log.zip."],
    [["verify", "package.json/log.zip"], "vak: There is no file package.json/log.zip."],
    [["verify", "/nowhere/a.tlog-proof", "--key", "x"], "vak: There is no file /nowhere/a.tlog-proof."],
    [["verify", "a.tlog-proof", "--key", "x", "--witness", "y"], "--witness is for logs."],
    [["verify", "--nonsense", "a"], "--nonsense"],
    [["verify", "package.json", "--key", "x"], '"x" is not the key of a log.'],
  ])("misuse: exit code 2 for %j", async (args, message) => {
    if (args[1] === "package.json") args = ["verify", await writeZip("good.zip", files), "--key", "x"];
    const { code, out, err } = await callVak(...args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(message);
    expect(err).toMatch(/^vak: [^\n]+\nSee `vak --help`\.\n$/);
  });

  test("attack: what is given is a pipe, a directory or a device, and never read: exit code 2", async () => {
    const pipe = join(folder, "pipe.tlog-proof");
    execFileSync("mkfifo", [pipe]);
    mkdirSync(join(folder, "folder.tlog-proof"));
    for (const path of [pipe, join(folder, "folder.tlog-proof")]) {
      const ended = await callVak("verify", path, "--key", vkey);
      expect(ended).toEqual({ code: 2, out: "", err: `vak: ${path} is not a file.\nSee \`vak --help\`.\n` });
    }
    for (const path of [pipe, "/dev/zero"]) {
      const { code, err } = await callVak("replay", path);
      expect({ code, err }).toEqual({
        code: 2,
        err: `vak: ${path} is neither a file nor a directory.\nSee \`vak --help\`.\n`,
      });
    }
  });

  test("attack: a receipt of a gigabyte is refused for its length: exit code 1", async () => {
    const path = join(folder, "long.tlog-proof");
    writeFileSync(path, "c2sp.org/tlog-proof@v1\n");
    truncateSync(path, 2 ** 30);
    const { code, out, err } = await callVak("verify", path, "--key", vkey);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toMatch(/^vak: The receipt proves nothing: it is longer than \d+ bytes\.\n$/);
  });

  test("--version prints the version of package.json", async () => {
    const { version } = JSON.parse(readFileSync("package.json", "utf8"));
    expect(await callVak("--version")).toEqual({ code: 0, out: `${version}\n`, err: "" });
  });

  test("--help prints the usage", async () => {
    const { code, out } = await callVak("--help");
    expect(code).toBe(0);
    expect(out).toContain("Usage: vak verify");
  });

  test("what a guest wrote cannot move the cursor, set colours, or turn the text round", async () => {
    const evil = "\u001b]0;owned\u0007\u001b[2J\u009b31m\u202egnp.exe\r\nThe log verifies.\u2028\u200b";
    const agent = { ...AGENT, name: evil };
    const steps: [Draft, object?][] = [
      [{ type: "policy-load", policies: ["policy0"] }, { policy: POLICY }],
      [{ type: "agent-spawn", agent, limits: {}, seed: 1, isolation: "opaque", machine: "wt1/1/1" }],
      [{ type: "run-start", agent, run: evil, args: [], env: [], startTime: 0 }],
      [
        {
          type: "denial",
          agent,
          run: evil,
          call: 0,
          action: evil,
          resource: evil,
          callDigest: null,
          decision: "deny",
          reason: evil,
          policies: [],
          errors: [evil],
          policyDigest: "",
        },
      ],
      [
        {
          type: "run-end",
          agent,
          run: evil,
          status: "failed",
          exitCode: null,
          trap: null,
          limit: null,
          message: evil,
          usage: {},
          digest: null,
          untraced: "no run",
        },
      ],
    ];
    const content = await makeLog(steps);
    const path = await writeZip("evil.zip", content);
    const evilPath = await writeZip("evil-path.zip", new Map(content).set(evil, Uint8Array.of(1)));
    for (const args of [
      ["verify", path],
      ["verify", path, "--json"],
      ["verify", evilPath],
      [evil],
      ["verify", `/nowhere/${evil}`],
    ]) {
      const { out, err } = await callVak(...args);
      expect(`${out}${err}`.length).toBeGreaterThan(0);
      expect(`${out}${err}`.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      expect(out.split("\n").filter((line) => line === "The log verifies.").length).toBeLessThanOrEqual(1);
    }
    const { out } = await callVak("verify", path);
    expect(out).toContain("\\u{1b}]0;owned\\u{7}");
    const json = await callVak("verify", path, "--json");
    expect(JSON.parse(json.out).runs[0].run).toBe(evil);
  });
});
