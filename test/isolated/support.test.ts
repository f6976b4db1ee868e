import "./without-jspi.ts";
import "../browser/worker/support.test.ts";
