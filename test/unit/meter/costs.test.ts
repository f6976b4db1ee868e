import { costCases } from "./costs.cases.ts";

costCases();
