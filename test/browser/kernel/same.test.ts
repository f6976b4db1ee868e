/** The same programs do the same in this browser as in every other, and when they are replayed. */
import { sameCases } from "../../guests/same.cases.ts";

sameCases({ replayed: true });
