/** The meter's tests of fuel, in browsers. */
import { fuelCases } from "../../unit/meter/fuel.cases.ts";

fuelCases();
