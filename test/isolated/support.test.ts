import "./without-jspi.ts";
import "../browser/kernel/support.test.ts";
