/** One spelling for each URL, as this engine reads URLs. */
import "../../unit/base/url.cases.ts";
