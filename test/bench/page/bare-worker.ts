/**
 * What vak is measured against: a worker with browser_wasi_shim alone, without limits, meter, policy or log. It runs
 * the program that it is sent, as bytes or compiled, and posts its output.
 */
import { Fd, PreopenDirectory, WASI, wasi } from "@bjorn3/browser_wasi_shim";

export interface BareRequest {
  program: BufferSource | WebAssembly.Module;
  args: string[];
}

interface WorkerScope {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  onmessage: ((event: MessageEvent) => void) | null;
}

const scope = globalThis as unknown as WorkerScope;

class Output extends Fd {
  override fd_fdstat_get() {
    return { ret: 0, fdstat: new wasi.Fdstat(wasi.FILETYPE_CHARACTER_DEVICE, 0) };
  }
  override fd_write(data: Uint8Array) {
    const output = data.slice();
    scope.postMessage({ output }, [output.buffer]);
    return { ret: 0, nwritten: data.byteLength };
  }
}

class Input extends Output {
  override fd_read() {
    return { ret: 0, data: new Uint8Array() };
  }
}

/** Resolves the call that the guest waits for with the page's answer. */
let parked: ((answer: Uint8Array) => void) | undefined;

async function run({ program, args }: BareRequest): Promise<void> {
  const module = program instanceof WebAssembly.Module ? program : await WebAssembly.compile(program);
  const host = new WASI(args, [], [new Input(), new Output(), new Output(), new PreopenDirectory("/", new Map())]);
  const memory = () => new Uint8Array((instance.exports.memory as WebAssembly.Memory).buffer);
  let answer = new Uint8Array();
  const call = (at: number, length: number) => {
    const request = memory().slice(at, at + length);
    scope.postMessage({ call: request }, [request.buffer]);
    return new Promise<number>((resolve) => {
      parked = (bytes) => {
        answer = new Uint8Array(bytes);
        resolve(answer.length);
      };
    });
  };
  const vak = {
    call: new WebAssembly.Suspending(call),
    answer: (at: number) => {
      memory().set(answer, at);
      return 0;
    },
  };
  const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: host.wasiImport, vak });
  host.inst = instance as typeof host.inst;
  try {
    await WebAssembly.promising(instance.exports._start as () => void)();
  } catch (error) {
    if (!(error instanceof Error) || !/exit with exit code 0/.test(error.message)) throw error;
  }
  scope.postMessage({ end: true });
}

scope.onmessage = ({ data }: MessageEvent<BareRequest | { answer: Uint8Array }>) => {
  if ("answer" in data) parked?.(data.answer);
  else void run(data);
};
