// JavaScript Promise Integration (https://webassembly.github.io/js-promise-integration), of which the DOM library of
// TypeScript does not know.
declare namespace WebAssembly {
  const Suspending: new (fn: (...args: never[]) => unknown) => ImportValue & object;
  function promising(fn: (...args: never[]) => unknown): (...args: unknown[]) => Promise<unknown>;
}
