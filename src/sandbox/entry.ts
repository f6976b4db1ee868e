/** The worker's entry: boots the sandbox, and offers the kernel its API. */
import { type Endpoint, expose, transfer } from "comlink";
import { VakError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import {
  type Finished,
  type KernelMessage,
  type NoRoom,
  PROTOCOL_VERSION,
  type RunRequest,
  type SandboxApi,
  type WorkerMessage,
} from "../protocol/messages.ts";
import { compile } from "./admission.ts";
import { Bridge } from "./bridge.ts";
import { Volume } from "./fs/volume.ts";
import { type Loaded, load } from "./instance.ts";
import { lockdown } from "./lockdown.ts";
import { Runner } from "./runner.ts";

/** The way to the kernel: this worker's own scope, or a port. Declared here because the project is typed for pages. */
interface Channel {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
}

let channel = globalThis as unknown as Channel;
const post = (message: WorkerMessage, moved: Transferable[] = []): void => channel.postMessage(message, moved);

interface Booted {
  limits: Limits;
  volume: Volume;
  bridge: Bridge;
  runner: Runner;
}

let booted: Booted | undefined;
let program: Loaded | undefined;
let running = false;

/** ms after a run until its garbage is collected, unless another run begins. */
const SWEEP_MS = 100;
/** More bytes than V8 lets pile up outside its heap before it collects all garbage at once. They are never touched. */
const SWEEP_BYTES = 2 ** 28;
let sweeping: ReturnType<typeof setTimeout> | undefined;

/**
 * Makes the engine collect garbage. An idle worker does not do so by itself, so the memory of an ended run would stay
 * allocated until the worker ends, and count among the few memories that a process may have.
 */
function sweep(times = 2): void {
  try {
    new ArrayBuffer(SWEEP_BYTES);
  } catch {} // not enough memory to allocate it
  // The second collection frees what the first has found.
  if (times > 1) sweeping = setTimeout(sweep, SWEEP_MS / 2, times - 1);
}

function bootedState(): Booted {
  if (!booted) throw new Error("the sandbox has not booted");
  return booted;
}

/** The files, for a change by the kernel. */
function changing(): Volume {
  const { volume, bridge } = bootedState();
  if (running) bridge.changed();
  return volume;
}

const api: SandboxApi = {
  boot({ wait, limits, answers, files, mounts }) {
    if (booted) throw new Error("the sandbox has booted");
    const volume = new Volume(limits, mounts);
    for (const [path, file] of Object.entries(files)) volume.seed(path, file);
    const bridge = new Bridge(post, wait, answers);
    booted = { limits, volume, bridge, runner: new Runner(volume) };
  },
  async compile(bytes, share) {
    const admitted = await compile(bytes, bootedState().limits);
    program = load(admitted);
    return share ? admitted : { ...admitted, module: null };
  },
  adopt(admitted) {
    program = load(admitted);
  },
  async run(request: RunRequest): Promise<Finished | NoRoom> {
    const { limits, bridge, runner } = bootedState();
    if (!program) throw new Error("there is no program to run");
    bridge.begin(request);
    clearTimeout(sweeping);
    running = true;
    try {
      const ended = await runner.execute(program, request, limits, bridge, request.silent ? () => {} : post);
      bridge.report();
      return { ...ended, stop: bridge.stop };
    } catch (error) {
      if (error instanceof VakError) return { noRoom: error.message };
      throw error;
    } finally {
      running = false;
      bridge.end();
      // Guests wait on shared memory only in WebKit, which has room for thousands of memories.
      if (bridge.wait === "jspi") sweeping = setTimeout(sweep, SWEEP_MS / 2);
    }
  },
  readFile(path) {
    const bytes = bootedState().volume.readFile(path);
    return bytes && transfer(bytes, [bytes.buffer]);
  },
  writeFile: (path, file) => changing().seed(path, file),
  listFiles: () => bootedState().volume.list(),
  statFile: (path) => bootedState().volume.stat(path),
  snapshot: () => bootedState().volume.sha256(),
  tree: (path, detail) => bootedState().volume.tree(path, detail),
  removeFile: (path) => changing().remove(path),
};

/** Serves the API on a channel, and says hello. */
function serve(to: Channel): void {
  channel = to;
  to.addEventListener("message", ({ data, ports }: MessageEvent<KernelMessage>) => {
    if (data?.vak === "connect") serve(ports[0]!);
    else if (data?.vak) booted?.bridge.receive(data);
  });
  expose(api, to as Endpoint);
  post({ vak: "hello", version: PROTOCOL_VERSION });
}

lockdown();
serve(channel);
