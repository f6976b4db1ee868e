/** The meter's tests of hostile modules, in Node. */
import { attackCases } from "./attacks.cases.ts";

attackCases();
