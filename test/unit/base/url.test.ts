/** Normal URLs, as Node parses them. */
import "./url.cases.ts";
