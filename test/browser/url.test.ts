/** One spelling for each URL, as this engine reads URLs. */
import "../unit/url.cases.ts";
