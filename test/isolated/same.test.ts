/** The same programs do the same with shared memory in place of JSPI. */
import "./without-jspi.ts";
import { sameCases } from "../guests/same.cases.ts";

sameCases({ replayed: false });
