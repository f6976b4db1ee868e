/** Removes from a worker's global scope everything that reaches outside. */

/**
 * What a worker's global scope keeps: the language, and what the sandbox itself uses. Everything else, above all
 * whatever can reach the network, storage, other tabs or other workers, is removed before a guest is instantiated, so
 * that even a guest that broke out of WebAssembly would find little.
 */
const KEPT = new Set([
  // ECMAScript
  ..."Object Function Array Number parseFloat parseInt Infinity NaN undefined Boolean String Symbol Date Promise".split(
    " ",
  ),
  ..."RegExp Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError".split(" "),
  ..."globalThis JSON Math Intl ArrayBuffer Atomics Uint8Array Int8Array Uint16Array Int16Array Uint32Array".split(" "),
  ..."Int32Array Float32Array Float64Array Uint8ClampedArray BigUint64Array BigInt64Array DataView Map BigInt".split(
    " ",
  ),
  ..."Set Iterator WeakMap WeakSet WeakRef FinalizationRegistry Proxy Reflect SharedArrayBuffer isFinite isNaN".split(
    " ",
  ),
  ..."decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape".split(" "),
  // the platform, as far as the sandbox needs it
  ..."WebAssembly TextEncoder TextDecoder performance setTimeout clearTimeout console self".split(" "),
  ..."postMessage addEventListener removeEventListener dispatchEvent close MessageChannel MessagePort".split(" "),
  ..."EventTarget Event MessageEvent constructor".split(" "),
]);

/** Removes what is not kept from the global object and from every prototype behind it. */
export function lockdown(scope: object = globalThis): void {
  for (
    let object: object | null = scope;
    object && object !== Object.prototype;
    object = Object.getPrototypeOf(object)
  ) {
    for (const name of Object.getOwnPropertyNames(object)) {
      if (KEPT.has(name)) continue;
      if (Reflect.deleteProperty(object, name)) continue;
      // Not deletable: shadow it, if the object allows it.
      Reflect.defineProperty(object, name, { value: undefined, writable: false, configurable: false });
    }
  }
}
