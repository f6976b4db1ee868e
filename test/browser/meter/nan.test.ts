/** The meter's tests of NaN bits, in browsers. */
import { nanCases } from "../../unit/meter/nan.cases.ts";

nanCases();
