/** The command `npm run bench`: runs the chosen sections in the chosen browsers, and prints their tables. */
import { call } from "./call.ts";
import { type Audit, type Bench, type BrowserName, launch, type Section, startServers } from "./harness.ts";
import { log, verify } from "./log.ts";
import { meter } from "./meter/meter.ts";
import { policy } from "./policy.ts";
import { replay } from "./replay.ts";
import { spawn } from "./spawn.ts";
import { formatTable } from "./stats.ts";
import { stop } from "./stop.ts";

const sections: Section[] = [spawn, call, policy, stop, meter, log, verify, replay];
const names = sections.map(({ name }) => name);

/** @returns the exit code */
export async function run(argv: string[], audit: Audit): Promise<number> {
  const options = argv.filter((arg) => arg.startsWith("--"));
  const wanted = argv.filter((arg) => !arg.startsWith("--"));
  const unknown = [
    ...wanted.filter((name) => !names.includes(name)),
    ...options.filter((option) => option !== "--quick" && !/^--browser=(chromium|firefox)$/.test(option)),
  ];
  if (unknown.length) {
    console.error(`Unknown: ${unknown.join(", ")}. Sections: ${names.join(", ")}. Options: --quick, --browser=NAME.`);
    return 1;
  }
  const quick = options.includes("--quick");
  const only = options.find((option) => option.startsWith("--browser="))?.slice("--browser=".length);
  const browsers = (["chromium", "firefox"] as const).filter((name) => !only || name === only);
  const servers = await startServers();
  const bench = (browser: Bench["browser"], launcher: Bench["launch"]): Bench => ({
    browser,
    audit,
    times: (full, few) => (quick ? few : full),
    launch: launcher,
  });
  const inBrowser = (name: BrowserName) => bench(name, () => launch(name, servers));
  const inNode = bench("node", () => {
    throw new Error("a section that runs in Node launches no browser");
  });
  try {
    for (const name of browsers) {
      await using browser = await launch(name, servers);
      console.log(`${name} ${browser.version}`);
    }
    console.log(`Node ${process.versions.node}\n`);
    for (const section of sections) {
      if (wanted.length && !wanted.includes(section.name)) continue;
      const benches = section.where === "node" ? [inNode] : browsers.map(inBrowser);
      for (const bench of benches) for (const table of await section.measure(bench)) console.log(formatTable(table));
    }
    return 0;
  } finally {
    await servers.close();
  }
}
