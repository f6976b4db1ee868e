import { nanCases } from "./nan.cases.ts";

nanCases();
