/** Digests of a replay's state, to compare it across engines. */
import type { State } from "../../../src/replay/index.ts";

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((n) => n.toString(16)).join(" ");
}

/** A state with digests in place of its bytes. */
export async function digestState({ memory, files, stdout, stderr, globals, ...rest }: State) {
  const digests: Record<string, string> = {};
  for (const [path, bytes] of files) digests[path] = await sha256(bytes);
  return {
    ...rest,
    memory: await sha256(memory),
    files: digests,
    stdout: await sha256(stdout),
    stderr: await sha256(stderr),
    globals: Object.entries(globals).map(([i, value]) => `${i} ${value}`),
  };
}
