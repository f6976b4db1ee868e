import "./without-jspi.ts";
import "../browser/kernel/same.test.ts";
