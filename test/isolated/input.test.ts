import "./without-jspi.ts";
import "../browser/kernel/input.test.ts";
