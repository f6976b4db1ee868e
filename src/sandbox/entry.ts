import { type Endpoint, expose, transfer } from "comlink";
import { VakError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import {
  type KernelMessage,
  type NoRoom,
  PROTOCOL_VERSION,
  type RunEnd,
  type RunRequest,
  type SandboxApi,
  type WorkerMessage,
} from "../protocol/messages.ts";
import { Bridge } from "./bridge.ts";
import { Volume } from "./fs/volume.ts";
import { lockdown } from "./lockdown.ts";
import { compile, type Loaded, load, Runner } from "./program.ts";

/** Where the kernel is: this worker's own scope, or a port to it. The project is typed for pages. */
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

/** ms after a run until its garbage is collected, unless the next one comes. */
const SWEEP_MS = 100;
/** More than what V8 lets pile up outside its heap before it collects all garbage at once, bytes. Nothing touches them. */
const SWEEP_BYTES = 2 ** 28;
let sweeping: ReturnType<typeof setTimeout> | undefined;

/**
 * Makes the engine collect garbage. An idle worker does not do so by itself, and the memory of a run that has ended would
 * take room, in the machine and in the few that a process may have, until the worker ends.
 */
function sweep(times = 2): void {
  try {
    new ArrayBuffer(SWEEP_BYTES);
  } catch {} // where there is not even so much
  // What one collection has found the next gives back.
  if (times > 1) sweeping = setTimeout(sweep, SWEEP_MS / 2, times - 1);
}

function machine(): Booted {
  if (!booted) throw new Error("the sandbox has not booted");
  return booted;
}

/** The files, about to be changed by the kernel. */
function changing(): Volume {
  const { volume, bridge } = machine();
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
    const admitted = await compile(bytes, machine().limits);
    program = load(admitted);
    return share ? admitted : { ...admitted, module: null };
  },
  adopt(admitted) {
    program = load(admitted);
  },
  async run(request: RunRequest): Promise<RunEnd | NoRoom> {
    const { limits, bridge, runner } = machine();
    if (!program) throw new Error("there is no program to run");
    bridge.begin(request.run, request.answers, request.silent);
    clearTimeout(sweeping);
    running = true;
    try {
      const ended = await runner.execute(program, request, limits, bridge, request.silent ? () => {} : post);
      bridge.tell();
      return { ...ended, stop: bridge.stop };
    } catch (error) {
      if (error instanceof VakError) return { noRoom: error.message };
      throw error;
    } finally {
      running = false;
      bridge.end();
      // Where guests wait on shared memory, the engine is WebKit's, which has room for thousands.
      if (bridge.wait === "jspi") sweeping = setTimeout(sweep, SWEEP_MS / 2);
    }
  },
  readFile(path) {
    const bytes = machine().volume.readFile(path);
    return bytes && transfer(bytes, [bytes.buffer]);
  },
  writeFile: (path, file) => changing().seed(path, file),
  listFiles: () => machine().volume.list(),
  statFile: (path) => machine().volume.stat(path),
  snapshot: () => machine().volume.sha256(),
  tree: (path, detail) => machine().volume.tree(path, detail),
  removeFile: (path) => changing().remove(path),
};

/** Listens to the kernel, and says hello. */
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
