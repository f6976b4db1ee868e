/** The host's half of a replay's save points: objects are copied by their own fields. */
import { wasi } from "@bjorn3/browser_wasi_shim";
import { expect, test } from "vitest";
import { RealClock } from "../../../src/sandbox/wasi/clock.ts";
import { Guest } from "../sandbox/guest.ts";

/** The classes, and those that they extend, of all that is reached from a value. */
function classesIn(value: unknown, shared: readonly unknown[]): Set<{ name: string }> {
  const classes = new Set<{ name: string }>();
  const seen = new Set<unknown>(shared);
  const waiting = [value];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (typeof next !== "object" || next === null || next instanceof Uint8Array || seen.has(next)) continue;
    seen.add(next);
    for (let at = Object.getPrototypeOf(next); at; at = Object.getPrototypeOf(at)) classes.add(at.constructor);
    for (const item of next instanceof Map ? next.values() : Object.values(next)) waiting.push(item);
  }
  for (const plain of [Object, Array, Map]) classes.delete(plain);
  return classes;
}

test("no class whose objects a save point copies has a #private field, which a copy would lose", () => {
  const guest = new Guest();
  guest.open("file", { oflags: wasi.OFLAGS_CREAT });
  guest.path("path_create_directory", "directory");
  guest.open("directory", { oflags: wasi.OFLAGS_DIRECTORY });
  guest.symlink("file", "link");
  guest.open("dev/vak");
  const process = guest.process.save();
  const clocks = [process.clock, new RealClock(Date.now, () => 0)];
  const classes = classesIn([guest.volume.save(), process, clocks], [guest.volume, process.outlet]);
  expect([...classes].map(({ name }) => name).sort()).toEqual([
    ...["CallDevice", "Description", "Device", "Directory", "File", "Input", "Node", "OpenDirectory", "OpenFile"],
    ...["Output", "RandomStream", "RealClock", "RootDirectory", "Stream", "Symlink", "VirtualClock"],
  ]);
  for (const one of classes) expect(String(one), one.name).not.toMatch(/(?<!\w)#\w/);
});
