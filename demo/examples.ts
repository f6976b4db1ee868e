/** The example programs with their policies, and the requests that they work on. */
import askPolicy from "./examples/ask.cedar?raw";
import ask from "./examples/ask.py?raw";
import floodPolicy from "./examples/flood.cedar?raw";
import flood from "./examples/flood.py?raw";
import hostilePolicy from "./examples/hostile.cedar?raw";
import hostile from "./examples/hostile.py?raw";
import jobPolicy from "./examples/job.cedar?raw";
import job from "./examples/job.py?raw";
import loopPolicy from "./examples/loop.cedar?raw";
import loop from "./examples/loop.py?raw";

export interface Example {
  program: string;
  policy: string;
}

/** By the value of their radio buttons. */
export const examples: ReadonlyMap<string, Example> = new Map([
  ["job", { program: job, policy: jobPolicy }],
  ["ask", { program: ask, policy: askPolicy }],
  ["hostile", { program: hostile, policy: hostilePolicy }],
  ["loop", { program: loop, policy: loopPolicy }],
  ["flood", { program: flood, policy: floodPolicy }],
]);

/** The file `/requests.json`, which every agent of the playground gets. */
export const requests = JSON.stringify(
  [
    { order: "A-17", amount: 20 },
    { order: "B-04", amount: 240 },
    { order: "C-31", amount: 18 },
  ],
  null,
  2,
);
