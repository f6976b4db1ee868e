/**
 * Where Cedar's wasm is when the caller does not say: in this repository, in the package it comes from. The library
 * build puts a copy beside the bundle and this module then reads `new URL("./cedar.wasm", import.meta.url)`.
 */
export const cedarWasmUrl = new URL(
  "../../../node_modules/@cedar-policy/cedar-wasm/web/cedar_wasm_bg.wasm",
  import.meta.url,
);
