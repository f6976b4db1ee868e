/** One spelling for each URL, as this engine reads URLs. */
import "./url.cases.ts";
