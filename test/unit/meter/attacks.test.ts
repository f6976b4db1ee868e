import { attackCases } from "./attacks.cases.ts";

attackCases();
