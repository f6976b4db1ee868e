import "./without-jspi.ts";
import "../browser/kernel/fail-closed.test.ts";
