import { sameCases } from "../../guests/same.cases.ts";

sameCases(true);
