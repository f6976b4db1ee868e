/** `Promise.withResolvers`, which the broker needs: it is for browsers, which all have it. Node 20 does not. */
import { afterAll } from "vitest";

/** Adds it for the tests of one file. The worker's other files must not find it: vak's command has to do without. */
export function addWithResolvers(): void {
  if (Object.hasOwn(Promise, "withResolvers")) return;
  Promise.withResolvers = <T>() => {
    const parts = {} as PromiseWithResolvers<T>;
    parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
    return parts;
  };
  afterAll(() => {
    Reflect.deleteProperty(Promise, "withResolvers");
  });
}
