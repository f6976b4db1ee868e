/** Vitest's configuration, for `vite.config.ts`: its projects, and the browsers that they run in. */
import { playwright } from "@vitest/browser-playwright";
import type { TestProjectInlineConfiguration, ViteUserConfig } from "vitest/config";
import type { BrowserInstanceOption } from "vitest/node";
import { cedarGlue, workerSource } from "../../build/plugins.ts";
import { findBrowsers } from "../../scripts/browsers.mjs";
import { BY_COMMAND, ISOLATED_IN_WEBKIT } from "../../scripts/projects.mjs";
import { isolation } from "../serve.ts";
import { webkit } from "./webkit.ts";

const found = findBrowsers();
// To ask a browser for its version takes a moment, and Vitest loads this file once for each project.
process.env.VAK_BROWSERS ??= JSON.stringify(found);
const instances: Record<"chromium" | "firefox" | "webkit", BrowserInstanceOption[]> = {
  chromium: found.chromium
    ? [{ browser: "chromium", provider: playwright({ launchOptions: found.chromium.launch }) }]
    : [],
  firefox: found.firefox ? [{ browser: "firefox", provider: playwright({ launchOptions: found.firefox.launch }) }] : [],
  webkit: found.webkit ? [{ browser: "webkit", provider: webkit(found.webkit) }] : [],
};
for (const [name, list] of Object.entries(instances)) {
  if (!list.length)
    console.warn(`\n${name} NOT FOUND: its tests will NOT RUN (node scripts/browsers.mjs installs it)\n`);
}

/**
 * A project in browsers, or nothing if there are no such browsers. Chromium and Firefox, isolated or not, run at the
 * same time, because many tests wait; WebKitGTK gets its turn afterwards, or a process of its own in `npm test`.
 */
function browserProject(
  name: string,
  include: string[],
  instances: BrowserInstanceOption[],
  headers: Record<string, string> = {},
): TestProjectInlineConfiguration[] {
  if (!instances.length) return [];
  const alone = name === "webkit";
  const named = instances.map((instance) => ({ ...instance, name: `${name} (${instance.browser})` }));
  return [
    {
      extends: true,
      server: { headers },
      optimizeDeps: { include: ["wabt", "@secretlint/secretlint-rule-preset-recommend", "fast-luhn", "ibantools"] },
      test: {
        name,
        include,
        setupFiles: "test/setup/dispose.ts",
        sequence: { groupOrder: alone ? 2 : 1 },
        // The files share a page, and with it vak's modules and the compiled Cedar: half of a file's time was loading
        // them. Whoever patches a global puts it back. WebKitGTK gets slower and slower in one page.
        isolate: alone,
        browser: {
          enabled: true,
          headless: true,
          screenshotFailures: false,
          // As long as a test may take: on a busy machine a browser takes minutes to start.
          connectTimeout: 300_000,
          instances: named,
        },
      },
    },
  ];
}

const { chromium, firefox, webkit: webkitgtk } = instances;

/** Processes in Node at once. Many of their tests wait for a browser, so there may be more than processors. */
const WORKERS = 3;

export const tests = (): ViteUserConfig => ({
  plugins: [workerSource(), cedarGlue()],
  // Neither Node 20 nor WebKit supports `await using`.
  oxc: { target: "es2022" },
  test: {
    globalSetup: "test/setup/global.ts",
    // How many times as many tries the fuzz tests make, and from which seed: set by scripts/fuzz.mjs.
    env: {
      VAK_FUZZ: process.env.VAK_FUZZ ?? "1",
      VAK_SEED: process.env.VAK_SEED ?? "1",
    },
    // Timeouts are for hangs only: on a busy machine a test may take ten times as long.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 120_000 } },
    // Show values in full, because the message of a failed test is all that some reports keep.
    chaiConfig: { truncateThreshold: 2000 },
    // Vitest sorts the projects of a group by name, so `e2e` and `package`, which take longest, begin first.
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          sequence: { groupOrder: 0 },
          setupFiles: "test/setup/seed.ts",
          // As in browsers: the files of a worker share vak's modules and the compiled Cedar.
          isolate: false,
          maxWorkers: WORKERS,
        },
      },
      ...browserProject("browser", ["test/browser/**/*.test.ts"], [...chromium, ...firefox]),
      ...browserProject("isolated", ["test/isolated/**/*.test.ts"], [...chromium, ...firefox], isolation),
      ...browserProject("webkit", ["test/browser/**/*.test.ts", ...ISOLATED_IN_WEBKIT], webkitgtk, isolation),
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts", "test/outside/**/*.test.ts"],
          exclude: Object.entries(BY_COMMAND).flatMap(([variable, file]) => (process.env[variable] ? [] : file)),
          sequence: { groupOrder: 0 },
          maxWorkers: WORKERS,
        },
      },
      // The packed tarball, installed into another project.
      {
        extends: true,
        test: {
          name: "package",
          include: ["test/package/**/*.test.ts"],
          globalSetup: "test/package/install.ts",
          sequence: { groupOrder: 0 },
          maxWorkers: WORKERS,
        },
      },
    ],
  },
});
