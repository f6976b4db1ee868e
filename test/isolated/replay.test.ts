import "./without-jspi.ts";
import "../browser/replay/same.test.ts";
import "../browser/replay/trace.test.ts";
