/** A worker that executes a run of the log again, so that the page stays awake meanwhile. */
import { openBundle } from "../src/audit/index.ts";
import { type Replay, type ReplayOptions, replay } from "../src/replay/index.ts";

export interface ReplayRequest {
  zip: Blob;
  run: string;
  program: Uint8Array<ArrayBuffer>;
  options: Pick<ReplayOptions, "until" | "steps">;
}

export type ReplayReply = { replay: Replay } | { error: string };

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<ReplayRequest>) => void) | null;
  postMessage(reply: ReplayReply): void;
};

scope.onmessage = async ({ data: { zip, run, program, options } }) => {
  try {
    scope.postMessage({ replay: await replay(await openBundle(zip), run, { program, ...options }) });
  } catch (error) {
    scope.postMessage({ error: (error as Error).message });
  }
};
