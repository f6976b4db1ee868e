import { sameCases } from "../../guests/same.cases.ts";

sameCases({ replayed: true });
