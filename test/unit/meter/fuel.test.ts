/** The meter's tests of fuel, in Node. */
import { fuelCases } from "./fuel.cases.ts";

fuelCases();
