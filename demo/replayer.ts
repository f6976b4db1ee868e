/** A worker that executes runs of an exported log again, so that the page stays awake, and goes back in them. */
import { type Bundle, openBundle } from "../src/audit/index.ts";
import {
  type ForkPoint,
  forkPoint,
  type Looking,
  openReplay,
  type Replay,
  type Replayer,
} from "../src/replay/index.ts";

export type ReplayRequest =
  /** The first one. It is not answered. */
  | { zip: Blob; program: Uint8Array<ArrayBuffer> }
  | { run: string; looking: Looking }
  /** What it takes to go on from this call. */
  | { run: string; fork: number };

export type ReplayReply = { replay: Replay } | { point: ForkPoint } | { error: string };

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<ReplayRequest>) => void) | null;
  postMessage(reply: ReplayReply): void;
};

let opened: Promise<{ bundle: Bundle; replayer: Replayer }>;

async function answer(request: Exclude<ReplayRequest, { zip: Blob }>): Promise<ReplayReply> {
  try {
    const { bundle, replayer } = await opened;
    if ("fork" in request) return { point: await forkPoint(bundle, request.run, { call: request.fork }) };
    return { replay: await replayer.replay(request.run, request.looking) };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

/** Requests are answered in their order. */
let turn: Promise<unknown> = Promise.resolve();

scope.onmessage = ({ data }) => {
  if ("zip" in data) {
    const { zip, program } = data;
    opened = openBundle(zip).then(async (bundle) => ({ bundle, replayer: await openReplay(bundle, { program }) }));
    opened.catch(() => {}); // said to who asks for something
  } else turn = turn.then(async () => scope.postMessage(await answer(data)));
};
