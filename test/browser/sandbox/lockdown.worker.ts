/** A worker that locks itself down and then looks for a way out, for the test of the lockdown. */
import { lockdown } from "../../../src/sandbox/lockdown.ts";

const post = postMessage.bind(globalThis);
lockdown();

/** Every name that a script here could say, on the global object and behind it. */
const names = new Map<string, string>();
for (let object: object | null = globalThis; object; object = Object.getPrototypeOf(object)) {
  for (const name of Object.getOwnPropertyNames(object)) {
    let type: string;
    try {
      type = typeof (globalThis as unknown as Record<string, unknown>)[name];
    } catch {
      type = "throws";
    }
    if (!names.has(name)) names.set(name, type);
  }
}
post([...names]);
