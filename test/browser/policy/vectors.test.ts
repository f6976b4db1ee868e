import { cedarWasmUrl } from "../../../src/policy/wasm-url.ts";
import { cedarVectors } from "../../unit/policy/vectors.cases.ts";

cedarVectors(cedarWasmUrl);
