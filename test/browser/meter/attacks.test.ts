import { attackCases } from "../../unit/meter/attacks.cases.ts";

attackCases();
