import { fuelCases } from "../../unit/meter/fuel.cases.ts";

fuelCases();
