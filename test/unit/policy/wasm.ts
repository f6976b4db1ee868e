/** Cedar's wasm, for tests in Node. */
import { readFileSync } from "node:fs";
import { cedarWasmUrl } from "../../../src/policy/cedar/wasm-url.ts";

export const wasmBytes = readFileSync(cedarWasmUrl);
