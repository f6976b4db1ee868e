import "./without-jspi.ts";
import "../browser/kernel/limits.test.ts";
