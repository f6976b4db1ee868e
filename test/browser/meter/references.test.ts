/** The meter's tests of typed references, in browsers. */
import { referenceCases } from "../../unit/meter/references.cases.ts";

referenceCases();
