import { referenceCases } from "./references.cases.ts";

referenceCases();
