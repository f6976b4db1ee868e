/** The meter's tests of what instructions cost, in Node. */
import { costCases } from "./costs.cases.ts";

costCases();
