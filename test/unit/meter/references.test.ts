/** The meter's tests of typed references, in Node. */
import { referenceCases } from "./references.cases.ts";

referenceCases();
