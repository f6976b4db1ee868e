import { costCases } from "../../unit/meter/costs.cases.ts";

costCases();
