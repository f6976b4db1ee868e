import floodPolicy from "./examples/flood.cedar?raw";
import flood from "./examples/flood.py?raw";
import hostilePolicy from "./examples/hostile.cedar?raw";
import hostile from "./examples/hostile.py?raw";
import jobPolicy from "./examples/job.cedar?raw";
import job from "./examples/job.py?raw";
import loopPolicy from "./examples/loop.cedar?raw";
import loop from "./examples/loop.py?raw";

export interface Example {
  id: string;
  title: string;
  program: string;
  policy: string;
}

export const examples: readonly [Example, ...Example[]] = [
  { id: "job", title: "Night shift", program: job, policy: jobPolicy },
  { id: "hostile", title: "Break the rules", program: hostile, policy: hostilePolicy },
  { id: "loop", title: "Endless loop", program: loop, policy: loopPolicy },
  { id: "flood", title: "Flood", program: flood, policy: floodPolicy },
];

/** What every agent of the playground finds in its file system beside its program. */
export const requests = JSON.stringify(
  [
    { order: "A-17", amount: 20 },
    { order: "B-04", amount: 240 },
    { order: "C-31", amount: 18 },
  ],
  null,
  2,
);
