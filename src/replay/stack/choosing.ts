/** Which functions may be on the stack when it is captured: those that may lead to a check that can be captured. */
import { BodyReader, type Chosen } from "./body-reader.ts";
import type { MeteredModule } from "./metered-module.ts";

/**
 * Functions that only count are left as they are: of those that call in a loop or indirectly, and of `_start`, every
 * caller is chosen too.
 *
 * @throws Uncapturable
 */
export function chooseFunctions(metered: MeteredModule): Chosen {
  const { importedFunctions } = metered.module;
  const reader = new BodyReader(metered);
  const summaries = metered.bodies.map(([start, end], i) => reader.summarise(importedFunctions + i, start, end));
  const asking = summaries.findLastIndex(({ asks }) => asks);
  const more = asking < 0 ? -1 : importedFunctions + asking;
  const callers = new Map<number, number[]>();
  const waiting: number[] = metered.start >= importedFunctions ? [metered.start] : [];
  summaries.forEach(({ callees, indirect, callsInLoop }, i) => {
    const index = importedFunctions + i;
    for (const callee of callees) {
      if (callee === more) continue;
      const known = callers.get(callee);
      if (known) known.push(index);
      else callers.set(callee, [index]);
    }
    if (indirect || callsInLoop) waiting.push(index);
  });
  const functions = new Set<number>();
  for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) {
    if (functions.has(index)) continue;
    functions.add(index);
    if (index !== more) for (const caller of callers.get(index) ?? []) waiting.push(caller);
  }
  return { functions, more };
}
