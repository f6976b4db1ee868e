import { type Endpoint, expose, transfer } from "comlink";
import type { Limits } from "../limits.ts";
import {
  type KernelMessage,
  PROTOCOL_VERSION,
  type RunEnd,
  type RunRequest,
  type SandboxApi,
  type WorkerMessage,
} from "../protocol.ts";
import { Bridge } from "./bridge.ts";
import { lockdown } from "./lockdown.ts";
import { compile, type Loaded, load, Runner } from "./program.ts";
import { Volume } from "./vfs.ts";

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
  async run(request: RunRequest): Promise<RunEnd> {
    const { limits, bridge, runner } = machine();
    if (!program) throw new Error("there is no program to run");
    bridge.begin(request.answers, request.silent);
    running = true;
    const ended = await runner.execute(program, request, limits, bridge, request.silent ? () => {} : post);
    running = false;
    return { ...ended, stop: bridge.stop, changes: bridge.changes, readings: bridge.readings };
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
