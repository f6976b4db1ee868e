/** Normal URLs, as this browser parses them. */
import "../../setup/seed.ts";
import "../../unit/base/url.cases.ts";
