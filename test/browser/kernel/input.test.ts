/** What `createKernel`, `spawn` and `run` accept, and what they refuse. */
import { expect, onTestFinished, test } from "vitest";
import { createKernel, type ForkPoint, type SpawnOptions, VakError } from "../../../src/index.ts";
import type { AuditLog } from "../../../src/log/log.ts";
import { loadGuest } from "../../guests/load.ts";
import { add, entriesOf, finish, policy, started, testKernel } from "../../setup/kernel.ts";

const bytes = (...list: number[]) => Uint8Array.from(list);
const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

type Program = SpawnOptions["program"];

const modules: [name: string, load: () => Program | { late: Promise<Program> }, message: RegExp][] = [
  ["nothing at all", () => bytes(), /WebAssembly/i],
  ["not WebAssembly", () => new TextEncoder().encode("<!doctype html>"), /not a WebAssembly module/i],
  ["a component", () => bytes(0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00), /component/i],
  ["truncated", () => ({ late: loadGuest("agent").then((program) => program.slice(0, 1000)) }), /./],
  ["a section with a false length", () => bytes(...HEADER, 1, 0xff, 0xff, 0xff, 0xff, 0x0f), /./],
  ["shared memory", () => bytes(...HEADER, 5, 4, 1, 3, 1, 1), /shared/i],
  ["a module without _start", () => bytes(...HEADER), /_start/],
  ["a response that is an error", () => new Response("no", { status: 404 }), /404/],
  ["a fetch that fails", () => Promise.reject(new TypeError("no network")), /no network/],
];

test.each(modules)("spawn refuses a program that is %s, and the log says so", async (_, load, message) => {
  await using kernel = await testKernel();
  const given = load();
  const program = typeof given === "object" && "late" in given ? await given.late : given;
  await expect(kernel.spawn({ name: "bad", program })).rejects.toMatchObject({
    code: "invalid-module",
    message: expect.stringMatching(message),
  });
  expect(await entriesOf(kernel, "spawn-refused")).toHaveLength(1);
  expect(await entriesOf(kernel, "agent-spawn")).toEqual([]);
});

test("a fetch that fails after its spawn was refused is not an unhandled rejection", async () => {
  await using kernel = await testKernel();
  const program = Promise.reject(new TypeError("no network"));
  await expect(kernel.spawn({ name: "", program })).rejects.toMatchObject({ code: "invalid-argument" });
});

const refused: [name: string, options: Partial<SpawnOptions>, code: string, message: RegExp][] = [
  ["an empty name", { name: "" }, "invalid-argument", /name/],
  ["a name with a control character", { name: "a\u001b[31m" }, "invalid-argument", /name/],
  ["a limit of zero", { limits: { deadlineMs: 0 } }, "invalid-limit", /deadlineMs/],
  ["an infinite limit", { limits: { calls: Number.POSITIVE_INFINITY } }, "invalid-limit", /finite/],
  ["a limit that is NaN", { limits: { fuel: Number.NaN } }, "invalid-limit", /fuel/],
  ["a negative limit", { limits: { outputBytes: -1 } }, "invalid-limit", /outputBytes/],
  ["a fractional limit", { limits: { openFiles: 4.5 } }, "invalid-limit", /openFiles/],
  ["an unknown limit", { limits: { memory: 1 } as never }, "invalid-limit", /memoryBytes/],
  ["a fractional seed", { seed: 0.5 }, "invalid-argument", /seed/],
  ["a path that climbs out", { files: { "../x": "" } }, "invalid-argument", /path/],
  ["a path in /dev", { files: { "dev/vak": "" } }, "invalid-argument", /dev/],
  ["a file below another file", { files: { a: "", "a/b": "" } }, "invalid-argument", /files/],
  ["an unknown isolation", { isolation: "none" as never }, "invalid-argument", /isolation/],
  ["a workerUrl without isolation page", { workerUrl: "/w.js" }, "invalid-argument", /workerUrl/],
];

test.each(refused)("spawn refuses %s", async (_, options, code, message) => {
  await using kernel = await testKernel();
  const program = await loadGuest("hello");
  await expect(kernel.spawn({ name: "a", program, ...options })).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message),
  });
});

test("an aborted spawn rejects, and leaves no agent", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("hello");
  await expect(kernel.spawn({ name: "a", program, signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: "aborted",
  });
  const controller = new AbortController();
  const spawning = kernel.spawn({ name: "a", program, signal: controller.signal });
  setTimeout(() => controller.abort());
  await expect(spawning).rejects.toMatchObject({ code: "aborted" });
});

test.each([
  ["a promise that never settles", () => new Promise<never>(() => {})],
  ["a response whose body never ends", () => new Response(new ReadableStream())],
])("a spawn whose program is %s rejects when it is aborted", async (_, program) => {
  await using kernel = await testKernel();
  const controller = new AbortController();
  const reason = new Error("enough");
  const spawning = kernel.spawn({ name: "a", program: program(), signal: controller.signal });
  setTimeout(() => controller.abort(reason), 50);
  await expect(spawning).rejects.toMatchObject({ code: "aborted", cause: reason });
  expect(await entriesOf(kernel, "spawn-refused")).toMatchObject([{ message: "The spawn was aborted." }]);
});

test("a spawn that is aborted aborts its own fetch of the program too", async () => {
  await using kernel = await testKernel();
  const { fetch } = globalThis;
  onTestFinished(() => {
    globalThis.fetch = fetch;
  });
  const controller = new AbortController();
  // A server that is slow: it has not answered when the spawn is aborted.
  let fetched: Promise<Response> | undefined;
  globalThis.fetch = (input, init) => {
    fetched = fetch(input, init);
    controller.abort();
    return fetched;
  };
  const spawning = kernel.spawn({ name: "a", program: location.href, signal: controller.signal });
  await expect(spawning).rejects.toMatchObject({ code: "aborted" });
  await expect(fetched).rejects.toMatchObject({ name: "AbortError" });
});

test("a spawn that is aborted once its agent is in the log rejects, and the log has the agent's end", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("hello");
  const controller = new AbortController();
  const log = kernel.log as AuditLog;
  const append = log.append.bind(log);
  log.append = async (entry, ...rest) => {
    if (entry.type === "agent-spawn") controller.abort("enough");
    return append(entry, ...rest);
  };
  await expect(kernel.spawn({ name: "a", program, signal: controller.signal })).rejects.toMatchObject({
    code: "aborted",
    cause: "enough",
  });
  const types = (await entriesOf(kernel)).map(({ type }) => type);
  expect(types.filter((type) => /agent|spawn/.test(type))).toEqual(["agent-spawn", "agent-close"]);
});

const drain = (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => new Response(stream).arrayBuffer();

test.each([
  ["a controller", new AbortController()],
  ["false", false],
  ["null", null],
  ["an object with aborted", { aborted: false }],
  ["an object that is aborted and can be listened to", { aborted: true, addEventListener() {}, throwIfAborted() {} }],
  ["an object with its prototype", Object.create(AbortSignal.prototype)],
])("attack: a signal that is %s is refused, and nothing is left busy or open", async (_, value) => {
  const signal = value as AbortSignal;
  const refusal = { code: "invalid-argument", message: "signal must be an AbortSignal." };
  await using kernel = await testKernel();
  const program = await loadGuest("hello");
  await using agent = await kernel.spawn({ name: "hello", program });
  await using library = await kernel.spawn({ name: "library", program: await loadGuest("reactor") });
  const point = { name: "a", seed: 1, limits: {}, labels: [] } as unknown as ForkPoint;
  expect(() => agent.run({ signal })).toThrow(expect.objectContaining(refusal));
  expect(() => library.call("count", null, { signal })).toThrow(expect.objectContaining(refusal));
  expect(() => agent.files.watch({ signal })).toThrow(expect.objectContaining(refusal));
  await expect(kernel.spawn({ name: "a", program, signal })).rejects.toMatchObject(refusal);
  await expect(kernel.fork(point, { program, signal })).rejects.toMatchObject(refusal);
  await expect(kernel.log.export({ signal })).rejects.toMatchObject(refusal);
  await expect(kernel.log.exportStream({ signal }).then(drain)).rejects.toMatchObject(refusal);
  const untouched = {} as FileSystemDirectoryHandle;
  await expect(kernel.log.exportTo(untouched, { signal })).rejects.toMatchObject(refusal);
  await expect(kernel.log.entries({ signal }).next()).rejects.toMatchObject(refusal);
  const name = crypto.randomUUID();
  await expect(createKernel({ log: { name, signal } })).rejects.toMatchObject(refusal);
  await using other = await createKernel({ log: { name } });
  expect(other.log.writing).toBe(true);
  expect((await finish(agent.run())).stdout).toBe("hello\n");
  expect(await library.call("count", null).result).toMatchObject({ value: 42 });
  expect(await entriesOf(kernel, "agent-spawn")).toHaveLength(2);
});

test("a signal of another realm stops a run", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "spin", program: await loadGuest("spin") });
  const frame = document.body.appendChild(document.createElement("iframe"));
  onTestFinished(() => frame.remove());
  const { AbortController: Theirs } = frame.contentWindow as unknown as typeof globalThis;
  const controller = new Theirs();
  const run = agent.run({ signal: controller.signal });
  await started(kernel, run);
  controller.abort();
  expect(await run.result).toMatchObject({ status: "stopped", limit: "aborted" });
});

test("run refuses arguments, environments and start times that no program can have", async () => {
  await using kernel = await testKernel();
  await using agent = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
  const bad = [
    { args: ["a\0b"] },
    { args: ["\ud800"] },
    { args: "x" as never },
    { env: { "A=B": "" } },
    { env: { "": "" } },
    { args: ["x".repeat(40_000)] },
    { startTime: -1 },
  ];
  for (const options of bad) {
    expect(() => agent.run(options)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  }
  const run = agent.run();
  expect(() => agent.run()).toThrow(expect.objectContaining({ code: "agent-busy" }));
  await run.result;
});

test("a closed agent and a closed kernel refuse every use with the code closed", async () => {
  const kernel = await testKernel();
  const agent = await kernel.spawn({ name: "hello", program: await loadGuest("hello") });
  await agent.close();
  await agent.close();
  expect(() => agent.run()).toThrow(expect.objectContaining({ code: "closed" }));
  await expect(agent.files.list()).rejects.toMatchObject({ code: "closed" });
  await kernel.close();
  await kernel.close();
  await expect(kernel.spawn({ name: "a", program: await loadGuest("hello") })).rejects.toMatchObject({
    code: "closed",
  });
});

test("two tools with the same name, and a second kernel on the same log, are refused", async () => {
  await expect(testKernel({ tools: [add, add] })).rejects.toMatchObject({ code: "invalid-tool" });
  const log = { name: crypto.randomUUID() };
  await using kernel = await createKernel({ policy, tools: [add], log });
  await expect(createKernel({ policy, tools: [add], log })).rejects.toMatchObject({ code: "log-in-use" });
  expect(kernel.log.size).toBe(2);
});

test("the agent has the files as they were when spawn was called, whatever the page does to its bytes afterwards", async () => {
  await using kernel = await testKernel();
  const kept = new TextEncoder().encode("kept");
  const [a, b, c, d] = [kept.slice(), kept.slice(), kept.slice(), kept.slice()];
  const spawning = kernel.spawn({
    name: "copied",
    program: await loadGuest("hello"),
    files: { a, b: { data: b, labels: ["x"] } },
    mounts: { m: { files: { c, d } } },
  });
  for (const bytes of [a, c]) bytes.fill(0);
  structuredClone([b, d], { transfer: [b.buffer, d.buffer] });
  await using agent = await spawning;
  for (const path of ["a", "b", "m/c", "m/d"]) expect(await agent.files.text(path), path).toBe("kept");
});

test("a program can be given as bytes, a view, a response, a promise of one, or an address", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("hello");
  const url = URL.createObjectURL(new Blob([program], { type: "application/wasm" }));
  const padded = new Uint8Array([1, 2, 3, ...program]);
  const sources: SpawnOptions["program"][] = [
    program,
    program.buffer,
    padded.subarray(3),
    new Response(program),
    fetch(url),
    url,
    new URL(url),
  ];
  const digests = new Set<string>();
  for (const source of sources) {
    await using agent = await kernel.spawn({ name: "hello", program: source });
    digests.add(agent.program);
    expect((await finish(agent.run())).stdout).toBe("hello\n");
  }
  expect(digests.size).toBe(1);
  // The caller still owns its bytes.
  expect(program.byteLength).toBeGreaterThan(0);
});

test("a reopened log continues where it was", async () => {
  const log = { name: crypto.randomUUID() };
  const before = await createKernel({ policy, tools: [add], log });
  const { root, size } = await before.log.checkpoint();
  const { vkey } = before.log;
  await before.close();
  await using after = await createKernel({ policy, tools: [add], log });
  expect(after.log.vkey).toBe(vkey);
  expect(after.log.size).toBe(size + 1);
  const again = await after.log.checkpoint();
  expect(again.root).not.toBe(root);
  expect((await entriesOf(after)).map(({ type }) => type)).toEqual(["log-open", "policy-load", "policy-load"]);
});

test("an error is a VakError with a code, and a message that says what to do", async () => {
  const error = await createKernel({ log: { name: "no spaces allowed" } }).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(VakError);
  expect(error).toMatchObject({
    name: "VakError",
    code: "invalid-argument",
    message: expect.stringContaining("letters"),
  });
});

test("a spawn reports its progress", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("agent");
  const seen: string[] = [];
  const response = new Response(program, { headers: { "content-length": String(program.byteLength) } });
  await using _agent = await kernel.spawn({
    name: "a",
    program: response,
    onProgress: ({ phase, loaded, total }) => seen.push(`${phase} ${loaded}/${total}`),
  });
  const whole = `${program.byteLength}/${program.byteLength}`;
  expect(seen).toContain(`load ${whole}`);
  expect(seen.slice(-2)).toEqual([`compile ${whole}`, `ready ${whole}`]);
});

test("a progress callback that throws does not fail the spawn: the page gets its error as an event", async () => {
  await using kernel = await testKernel();
  const program = await loadGuest("hello");
  const errors: unknown[] = [];
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(event.error.message);
  };
  addEventListener("error", onError);
  try {
    const onProgress = ({ phase }: { phase: string }) => {
      throw new Error(`at ${phase}`);
    };
    await using agent = await kernel.spawn({ name: "a", program: new Response(program), onProgress });
    expect((await finish(agent.run())).stdout).toBe("hello\n");
  } finally {
    removeEventListener("error", onError);
  }
  expect(errors).toEqual(expect.arrayContaining(["at load", "at compile", "at ready"]));
  expect(await entriesOf(kernel, "spawn-refused")).toEqual([]);
  expect(await entriesOf(kernel, "agent-spawn")).toHaveLength(1);
});

test("the kernel sets the default isolation, and a spawn can choose another", async () => {
  await using kernel = await testKernel({ isolation: "page" });
  const program = await loadGuest("hello");
  for (const options of [{}, { isolation: "opaque" as const }, {}]) {
    await using agent = await kernel.spawn({ name: "a", program, ...options });
    expect((await finish(agent.run())).stdout).toBe("hello\n");
  }
  const spawned = await entriesOf(kernel, "agent-spawn");
  expect(spawned.map(({ isolation }) => isolation)).toEqual(["page", "opaque", "page"]);
  await expect(testKernel({ isolation: "none" as never })).rejects.toMatchObject({ code: "invalid-argument" });
});
