import { nanCases } from "../../unit/meter/nan.cases.ts";

nanCases();
