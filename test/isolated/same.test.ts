import "./without-jspi.ts";
import { sameCases } from "../guests/same.cases.ts";

sameCases({ replayed: false });
