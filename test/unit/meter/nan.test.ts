/** The meter's tests of NaN bits, in Node. */
import { nanCases } from "./nan.cases.ts";

nanCases();
