/** The page of the replay benchmark: runs recorded, replayed and rewound. */
import { openBundle } from "../../../src/audit/index.ts";
import { type Agent, createKernel, defineTool } from "../../../src/index.ts";
import { openReplay, replay } from "../../../src/replay/index.ts";
import { fetchBytes } from "./bare.ts";

const add = defineTool({
  name: "add",
  description: "Adds two integers.",
  inputSchema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } },
  execute: ({ a = 0, b = 0 }) => a + b,
});
const newKernel = () =>
  createKernel({
    policy: `permit (principal, action == Action::"call:add", resource);`,
    tools: [add],
    log: { name: crypto.randomUUID() },
  });

/** A Python program that works with numbers, strings, dicts, sorting and files, `times` times over. */
const script = (times: number) => `
import hashlib, json
for time in range(${times}):
    words = {}
    for n in range(60000):
        word = hashlib.sha256(str(n).encode()).hexdigest()[:5]
        words.setdefault(word, []).append(n)
    text = json.dumps(words, sort_keys=True)
    for n in range(20):
        with open(f"/{n}.json", "w") as file:
            file.write(text[n * 1000 : n * 1000 + 30000])
    primes = [n for n in range(2, 12000) if all(n % d for d in range(2, int(n**0.5) + 1))]
print(len(words), sum(primes), hashlib.sha256(text.encode()).hexdigest())
`;
const python = await fetchBytes("/python/python.wasm");
/** A long deadline, so that no run is stopped on a busy machine. */
const PATIENT = { deadlineMs: 300_000 };
const kinds = {
  python: { program: python, files: { "main.py": script(1) }, args: ["/main.py"], limits: PATIENT },
  long: {
    program: python,
    files: { "main.py": script(8) },
    args: ["/main.py"],
    limits: { ...PATIENT, fuel: 10 ** 12 },
  },
  calls: {
    program: await fetchBytes("/bench-guests/call-add.wasm"),
    files: {},
    args: [],
    limits: { ...PATIENT, calls: 10_000 },
  },
};
export type Kind = keyof typeof kinds;

/** ms from starting a run until its end is in the log. */
async function time(agent: Agent, args: string[], trace: boolean): Promise<number> {
  const began = performance.now();
  const { status } = await agent.run({ args, trace }).result;
  if (status !== "exited") throw new Error(`the run ended: ${status}`);
  return performance.now() - began;
}

/** ms of the same run with and without a trace. */
export async function record(kind: Kind, times: number): Promise<[traced: number, untraced: number][]> {
  await using kernel = await newKernel();
  const { args, ...spawn } = kinds[kind];
  await using traced = await kernel.spawn({ name: "traced", seed: 1, ...spawn });
  await using untraced = await kernel.spawn({ name: "untraced", seed: 1, ...spawn });
  const pairs: [number, number][] = [];
  for (let i = -1; i < times; i++) {
    // They take turns at being first.
    const first = i % 2 ? traced : untraced;
    const second = first === traced ? untraced : traced;
    const [one, other] = [await time(first, args, first === traced), await time(second, args, second === traced)];
    if (i >= 0) pairs.push(first === traced ? [one, other] : [other, one]);
  }
  return pairs;
}

/** ms of a run, and of replaying it, from the opened bundle to the verdict. */
export async function again(kind: Kind): Promise<[replayed: number, run: number]> {
  await using kernel = await newKernel();
  const { args, ...spawn } = kinds[kind];
  await using agent = await kernel.spawn({ name: "traced", seed: 1, ...spawn });
  const took = await time(agent, args, true);
  const bundle = await openBundle(await kernel.log.export());
  const began = performance.now();
  const { verdict } = await replay(bundle, 1, { program: spawn.program });
  if (verdict !== "same") throw new Error(`the replay is ${verdict}`);
  return [performance.now() - began, took];
}

/** A Python program that works for several seconds and calls a tool now and then. */
const caller = `
import hashlib, json
text = ""
with open("/dev/vak", "r+b", buffering=0) as vak:
    for n in range(40):
        text = "".join(hashlib.sha256(f"{text[:64]}{i}".encode()).hexdigest() for i in range(3000))
        words = sorted(text[i : i + 5] for i in range(0, len(text), 3))
        vak.write(json.dumps({"tool": "add", "input": {"a": n, "b": len(words)}}).encode() + b"\\n")
        vak.read(1000)
print(text[:16])
`;

/**
 * ms of replaying a long CPython run up to its middle, from the last checkpoint and from the start; and of the first
 * replay, which makes the checkpoints, compared with one without them.
 */
export async function rewind(times: number): Promise<{ rewound: [number, number][]; first: [number, number] }> {
  await using kernel = await newKernel();
  await using agent = await kernel.spawn({
    name: "caller",
    seed: 1,
    program: python,
    files: { "main.py": caller },
    limits: PATIENT,
  });
  await time(agent, ["/main.py"], true);
  const bundle = await openBundle(await kernel.log.export());
  const program = python;
  const clock = async (work: () => Promise<{ verdict: string }>) => {
    const began = performance.now();
    const { verdict } = await work();
    if (verdict !== "same") throw new Error(`the replay is ${verdict}`);
    return performance.now() - began;
  };
  const replayer = await openReplay(bundle, { program });
  const first = await clock(() => replayer.replay(1));
  const without = await clock(() => replay(bundle, 1, { program }));
  const rewound: [number, number][] = [];
  for (let n = 0; n < times; n++) {
    const until = { call: 18 + (n % 5) };
    rewound.push([
      await clock(() => replayer.replay(1, { until })),
      await clock(() => replay(bundle, 1, { program, until })),
    ]);
  }
  return { rewound, first: [first, without] };
}
