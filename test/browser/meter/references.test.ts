import { referenceCases } from "../../unit/meter/references.cases.ts";

referenceCases();
