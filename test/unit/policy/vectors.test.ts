/** Cedar's own test vectors, in Node. */
import { cedarVectors } from "./vectors.cases.ts";
import { wasmBytes } from "./wasm.ts";

cedarVectors(wasmBytes);
