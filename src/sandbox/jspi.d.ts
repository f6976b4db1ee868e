/**
 * JavaScript Promise Integration (https://webassembly.github.io/js-promise-integration), which TypeScript's DOM library
 * lacks.
 */
declare namespace WebAssembly {
  const Suspending: new (fn: (...args: never[]) => unknown) => ImportValue & object;
  function promising(fn: (...args: never[]) => unknown): (...args: unknown[]) => Promise<unknown>;
}
