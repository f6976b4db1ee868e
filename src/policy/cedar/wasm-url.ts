/**
 * The default address of Cedar's wasm: in this repository, in the package that it comes from. The library build puts a
 * copy beside the built modules, and replaces this with `new URL("./cedar.wasm", import.meta.url)`.
 */
export const cedarWasmUrl = new URL(
  "../../../node_modules/@cedar-policy/cedar-wasm/web/cedar_wasm_bg.wasm",
  import.meta.url,
);
