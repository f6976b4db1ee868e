/** The meter's tests of what instructions cost, in browsers. */
import { costCases } from "../../unit/meter/costs.cases.ts";

costCases();
