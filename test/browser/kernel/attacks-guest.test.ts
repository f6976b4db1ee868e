/** Programs that attack the sandbox, in a kernel. */
import { expect, test } from "vitest";
import { loadGuest, loadPython } from "../../guests/load.ts";
import { effects, entriesOf, finish, testKernel } from "../../setup/kernel.ts";

const refused: [name: string, guest: string, message: RegExp][] = [
  ["imports what vak does not have", "unknown-import", /"env" "system"/],
  ["imports constructor.constructor, which is Function", "constructor-import", /"constructor" "constructor"/],
  ["imports WASI's constructor", "constructor-import-wasi", /"wasi_snapshot_preview1" "constructor"/],
];

test.each(refused)("attack: a guest that %s is refused before it is instantiated", async (_, guest, message) => {
  await using kernel = await testKernel();
  const program = await loadGuest(guest);
  await expect(kernel.spawn({ name: guest, program })).rejects.toMatchObject({
    code: "invalid-module",
    message: expect.stringMatching(message),
  });
  expect(await entriesOf(kernel, "spawn-refused")).toMatchObject([
    { name: guest, message: expect.stringMatching(message) },
  ]);
  expect(await entriesOf(kernel, "agent-spawn")).toEqual([]);
});

test.each(["exit-catch", "exit-catch-table"])("attack: a guest (%s) tries to catch its own exit", async (guest) => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: guest, program: await loadGuest(guest) });
  const { result, stdout } = await finish(agent.run());
  expect(result).toMatchObject({ status: "exited", exitCode: 3 });
  expect(stdout).not.toContain("escaped");
});

test("attack: pointers, lengths and descriptors are out of range in every system call", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "bad-pointers", program: await loadGuest("bad-pointers") });
  const { result, stdout } = await finish(agent.run({ args: ["argument"], env: { NAME: "value" } }));
  expect({ stdout, ...result }).toMatchObject({ stdout: "", status: "exited", exitCode: 0 });
});

const traps: [guest: string, trap: string][] = [
  ["trap-unreachable", "unreachable"],
  ["trap-divide", "divide"],
  ["trap-overflow", "overflow"],
  ["trap-convert", "overflow"],
  ["trap-memory", "out-of-bounds"],
  ["trap-table", "out-of-bounds"],
  ["trap-indirect", "indirect-call"],
  ["trap-null", "indirect-call"],
  ["trap-stack", "stack"],
];

test.each(traps)("%s traps as %s in every engine", async (guest, trap) => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: guest, program: await loadGuest(guest) });
  const { result } = await finish(agent.run());
  expect(result).toMatchObject({ status: "trapped", trap });
  // A trap ends the run, not the agent.
  expect((await finish(agent.run())).result).toMatchObject({ status: "trapped", trap });
  expect((await entriesOf(kernel, "run-end"))[0]).toMatchObject({ status: "trapped", trap });
});

test("a start function runs, and has the program's memory", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "start", program: await loadGuest("start") });
  const { result, stdout } = await finish(agent.run());
  expect(result).toMatchObject({ status: "exited", exitCode: 0 });
  expect(stdout).not.toBe("");
});

const malformed = `
import os, json
fd = os.open("/dev/vak", os.O_RDWR)
def ask(data):
    while data:
        data = data[os.write(fd, data):]
    line = b""
    while not line.endswith(b"\\n"):
        part = os.read(fd, 100)
        if not part: return "nothing"
        line += part
    answer = json.loads(line)
    return answer["error"]["code"] if "error" in answer else answer["ok"]
for request in [
    b"", b"null", b"[]", b"{", b'"x"', b"\\xff\\xfe", b'{"tool":1}', b'{"input":{}}',
    b'{"tool":"add","input":{"a":1,"b":2},"extra":1}',
    b'{"tool":"none","input":{}}',
    b'{"tool":"__proto__","input":{}}',
    b'{"tool":"constructor","input":{}}',
    b'{"tool":"add"}',
    b'{"tool":"add","input":[]}',
    b'{"tool":"add","input":{"a":"1","b":2}}',
    b'{"tool":"add","input":{"a":1,"b":2,"__proto__":{"a":5}}}',
    b'{"tool":"add","input":{"a":{"__entity":{"type":"Agent","id":"x"}},"b":2}}',
    b'{"tool":"add","input":{"a":9007199254740993,"b":2}}',
    b'{"tool":"add","input":{"a":1.5,"b":2}}',
    b'{"tool":"add","input":{"a":1,"b":2,"c":"\\\\ud800"}}',
    b"[" * 4000,
    b"x" * 5000,
    b'{"tool":"add","input":{"a":1,"b":2}}',
]:
    print(ask(request + b"\\n"))
`;

test("attack: malformed requests on /dev/vak are answered with an error, and the guest continues", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({
    name: "malformed",
    program: await loadPython(),
    limits: { callBytes: 4096 },
    files: { "main.py": malformed },
  });
  const { result, stdout, stderr } = await finish(agent.run({ args: ["-u", "/main.py"] }));
  expect(stderr).toBe("");
  expect(result).toMatchObject({ status: "exited", exitCode: 0 });
  const answers = stdout.trim().split("\n");
  expect(answers.slice(0, 9)).toEqual(Array(9).fill("malformed"));
  expect(answers.slice(9, 12)).toEqual(Array(3).fill("unknown-tool"));
  expect(answers.slice(12, 20)).toEqual(Array(8).fill("invalid-input"));
  expect(answers.slice(20)).toEqual(["malformed", "too-large", "3"]);
  expect(effects).toEqual(["add 1 2"]);
});
