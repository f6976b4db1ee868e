/** The guests under Node's own WASI: if they pass here, a failure under vak is vak's fault. */
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WASI } from "node:wasi";
import { afterEach, expect, test } from "vitest";
import { loadGuest } from "../guests/load.ts";

const directories: string[] = [];
afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true });
});

async function run(name: string, options: { args?: string[]; env?: Record<string, string>; stdin?: string } = {}) {
  const directory = await mkdtemp(join(tmpdir(), "vak-guest-"));
  directories.push(directory);
  await writeFile(join(directory, "in.txt"), "input");
  const stdinPath = join(directory, "stdin.host");
  const stdoutPath = join(directory, "stdout.host");
  await writeFile(stdinPath, options.stdin ?? "");
  const stdin = await open(stdinPath, "r");
  const stdout = await open(stdoutPath, "w");
  const wasi = new WASI({
    version: "preview1",
    args: [name, ...(options.args ?? [])],
    env: options.env ?? {},
    preopens: { "/": directory },
    stdin: stdin.fd,
    stdout: stdout.fd,
    returnOnExit: true,
  });
  let memory: WebAssembly.Memory;
  let answer = new Uint8Array();
  const vak = {
    call(pointer: number, length: number) {
      if (pointer < 0 || length < 0 || pointer + length > memory.buffer.byteLength) return -21; // EFAULT
      const request = JSON.parse(new TextDecoder().decode(new Uint8Array(memory.buffer, pointer, length)));
      const reply =
        request.tool === "add"
          ? { ok: request.input.a + request.input.b }
          : { error: { code: "denied", message: "no policy allows it" } };
      answer = new TextEncoder().encode(JSON.stringify(reply));
      return answer.length;
    },
    answer(pointer: number) {
      if (!answer.length || pointer < 0 || pointer + answer.length > memory.buffer.byteLength) return -21;
      new Uint8Array(memory.buffer).set(answer, pointer);
      return answer.length;
    },
  };
  // Node sleeps for whole milliseconds and may wake early, so wait for the rest of the time here.
  const { poll_oneoff: poll } = wasi.wasiImport as Record<string, (...args: number[]) => number>;
  const patientPoll = (subscriptions: number, ...rest: number[]) => {
    const until = process.hrtime.bigint() + new DataView(memory.buffer).getBigUint64(subscriptions + 24, true);
    const errno = poll!(subscriptions, ...rest);
    while (process.hrtime.bigint() < until);
    return errno;
  };
  const module = await WebAssembly.compile(await loadGuest(name));
  const instance = await WebAssembly.instantiate(module, {
    wasi_snapshot_preview1: { ...(wasi.wasiImport as WebAssembly.ModuleImports), poll_oneoff: patientPoll },
    vak,
  });
  memory = instance.exports.memory as WebAssembly.Memory;
  try {
    const exitCode = wasi.start(instance);
    return { exitCode, directory, stdout: await readFile(stdoutPath, "utf8") };
  } finally {
    await stdin.close();
    await stdout.close();
  }
}

test("hello prints hello", async () => {
  expect(await run("hello")).toMatchObject({ exitCode: 0, stdout: "hello\n" });
});

test("files finds nothing wrong", async () => {
  const { stdout, exitCode } = await run("files");
  expect(stdout).toContain("\n0 wrong\n");
  expect(exitCode).toBe(0);
});

test("args prints its arguments, environment and input", async () => {
  const { stdout } = await run("args", { args: ["grüße", "世界 🌍"], env: { ÄPFEL: "süß" }, stdin: "eins\nzwei" });
  expect(stdout).toBe("argc 3\narg args\narg grüße\narg 世界 🌍\nenv ÄPFEL=süß\nstdin eins\nzwei\nend\n");
});

test("random prints random bytes and the time", async () => {
  const { stdout, exitCode } = await run("random");
  expect(stdout).toMatch(/^random [0-9a-f]{64}\nrealtime 0 \d+ 0 \d+\n/);
  expect(exitCode).toBe(0);
});

test("agent reads a file, makes an allowed and a denied call, and writes a file", async () => {
  const { stdout, exitCode, directory } = await run("agent");
  expect(stdout).toBe('read 5 bytes\nadd: {"ok":3}\nwipe: denied\ndone\n');
  expect(await readFile(join(directory, "out/result.txt"), "utf8")).toBe('input\nadd: {"ok":3}\nwipe: denied\n');
  expect(exitCode).toBe(0);
});

test("call prints the answer to its call", async () => {
  expect(await run("call")).toMatchObject({ exitCode: 0, stdout: '{"ok":3}\n' });
});

test("sleep wakes no earlier than it asked", async () => {
  expect((await run("sleep")).exitCode).toBe(0);
});

test("grow and table grow to the maximum", async () => {
  expect(await run("grow")).toMatchObject({ exitCode: 0, stdout: "65536\n" });
  expect(await run("table")).toMatchObject({ exitCode: 0, stdout: "10000000\n" });
});

test("bad-pointers finds that every bad pointer is refused", async () => {
  const { stdout, exitCode } = await run("bad-pointers", { args: ["x"], env: { A: "b" } });
  expect(stdout).toBe("");
  expect(exitCode).toBe(0);
});

test.each([
  ["unreachable", "unreachable"],
  ["divide", "divide by zero"],
  ["overflow", "divide result unrepresentable"],
  ["convert", "float unrepresentable in integer range"],
  ["memory", "memory access out of bounds"],
  ["indirect", "null function or function signature mismatch"],
  ["null", "null function or function signature mismatch"],
  ["table", "table index is out of bounds"],
  ["stack", "Maximum call stack size exceeded"],
])("trap-%s traps: %s", async (name, message) => {
  await expect(run(`trap-${name}`)).rejects.toThrow(message);
});
