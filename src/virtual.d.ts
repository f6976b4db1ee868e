/** Modules that the build makes. */

declare module "virtual:vak-worker" {
  /** The sandbox, bundled to one classic script. */
  const source: string;
  export default source;
}

declare module "virtual:cedar-glue" {
  /** A fresh instance of Cedar from a compiled module, instantiated asynchronously. */
  export function createCedar(
    module: WebAssembly.Module,
  ): Promise<Omit<typeof import("@cedar-policy/cedar-wasm/web"), "default" | "initSync">>;
}
