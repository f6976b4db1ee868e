/** Cedar's own test vectors, in browsers. */
import { cedarWasmUrl } from "../../../src/policy/cedar/wasm-url.ts";
import { cedarVectors } from "../../unit/policy/vectors.cases.ts";

cedarVectors(cedarWasmUrl);
