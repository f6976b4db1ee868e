import { fuelCases } from "./fuel.cases.ts";

fuelCases();
