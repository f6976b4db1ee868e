/** Normal URLs, as this browser parses them. */
import "../../unit/base/url.cases.ts";
