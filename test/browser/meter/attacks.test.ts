/** The meter's tests of hostile modules, in browsers. */
import { attackCases } from "../../unit/meter/attacks.cases.ts";

attackCases();
