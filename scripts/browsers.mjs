/**
 * Finds the browsers for tests, benchmarks and screenshots. `node scripts/browsers.mjs` installs those that are
 * missing.
 */

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium, firefox } from "playwright";

/**
 * @typedef {object} Browser
 * @property {string} path the executable
 * @property {string} version what it prints for --version
 * @property {import("playwright").LaunchOptions} launch for Playwright's `launch`
 */

/**
 * @typedef {object} WebKitGTK
 * @property {string} driver WebKitWebDriver, a W3C WebDriver server
 * @property {string} miniBrowser the browser that it drives
 * @property {string} xvfb the X server that they need
 */

/**
 * @typedef {object} Browsers
 * @property {Browser | undefined} chromium
 * @property {Browser | undefined} firefox
 * @property {WebKitGTK | undefined} webkit
 */

const chromiumArgs = [
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-gpu",
  "--disable-quic",
  "--disable-sync",
  "--no-first-run",
];
/** Chromium's own sandbox does not work as root. */
if (process.platform === "linux" && process.getuid?.() === 0) chromiumArgs.push("--no-sandbox");

const systemPaths = {
  chromium: [
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
  ],
  firefox: ["/usr/bin/firefox-esr", "/usr/bin/firefox", "/Applications/Firefox.app/Contents/MacOS/firefox"],
};

/**
 * Looks in `VAK_CHROMIUM` and `VAK_FIREFOX`, then for Playwright's own builds, then in the usual places. WebKit is
 * Debian's WebKitGTK. A browser that does not start counts as not found.
 *
 * @returns {Browsers}
 */
export function findBrowsers() {
  // Asking each for its version takes a second, so Vitest's main process passes what it found on to its workers.
  if (process.env.VAK_BROWSERS) return JSON.parse(process.env.VAK_BROWSERS);
  return {
    chromium: find("chromium", chromium),
    firefox: find("firefox", firefox),
    webkit: findWebKit(),
  };
}

/**
 * Finds the browsers, and installs those that are missing: from Playwright's servers, otherwise by apt on Debian as
 * root.
 *
 * @returns {{ browsers: Browsers, problems: string[] }} the problems: what is still missing, and what to do about it
 */
export function installBrowsers() {
  let browsers = findBrowsers();
  const missing = () => /** @type {const} */ (["chromium", "firefox"]).filter((name) => !browsers[name]);
  const wrong = missing().filter((name) => chosen(name));
  if (wrong.length) {
    const problems = wrong.map(
      (name) =>
        `${name} is missing: ${variable(name)} is ${chosen(name)}, which does not start. Correct it or unset it`,
    );
    return { browsers, problems };
  }
  if (missing().length) {
    const cli = fileURLToPath(new URL("../node_modules/playwright/cli.js", import.meta.url));
    run([process.execPath, cli, "install", ...missing()], 300);
    browsers = findBrowsers();
  }
  const wanted = [
    ...(browsers.chromium ? [] : ["chromium"]),
    ...(browsers.firefox ? [] : ["firefox-esr"]),
    ...(browsers.webkit ? [] : ["webkit2gtk-driver", "xvfb"]),
  ];
  if (wanted.length && process.getuid?.() === 0 && existsSync("/etc/debian_version")) {
    if (run(["apt-get", "update"], 120)) {
      run(["apt-get", "install", "-y", "--no-install-recommends", ...wanted], 600);
      browsers = findBrowsers();
    }
  }
  const problems = missing().map(
    (name) =>
      `${name} is missing and could not be installed. Install it, and set ${variable(name)} if it is in an unusual place`,
  );
  return { browsers, problems };
}

/** @param {"chromium" | "firefox"} name */
const variable = (name) => `VAK_${name.toUpperCase()}`;
/** @param {"chromium" | "firefox"} name */
const chosen = (name) => process.env[variable(name)];

/**
 * @param {"chromium" | "firefox"} name
 * @param {import("playwright").BrowserType} type
 * @returns {Browser | undefined}
 */
function find(name, type) {
  const own = playwrightPath(type);
  for (const path of chosen(name) ? [chosen(name)] : [own, ...systemPaths[name]]) {
    if (!path || !existsSync(path)) continue;
    const version = versionOf(path);
    if (!version) continue;
    /** @type {import("playwright").LaunchOptions} */
    const launch = { executablePath: path };
    if (name === "chromium") launch.args = chromiumArgs;
    // Playwright drives its own patched Firefox by its own protocol, and any other by WebDriver BiDi.
    else if (path !== own) launch.channel = "moz-firefox";
    return { path, version, launch };
  }
  return undefined;
}

/** @param {import("playwright").BrowserType} type */
function playwrightPath(type) {
  try {
    return type.executablePath();
  } catch {
    return undefined; // Playwright has no build for this system
  }
}

/** @param {string} path */
function versionOf(path) {
  if (process.platform === "win32") return "unknown"; // --version opens a window there
  const { status, stdout } = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 30_000 });
  return status === 0 ? stdout.trim().split("\n").at(-1) : undefined;
}

/** @returns {WebKitGTK | undefined} */
function findWebKit() {
  const driver = "/usr/bin/WebKitWebDriver";
  const xvfb = "/usr/bin/Xvfb";
  if (!existsSync(driver) || !existsSync(xvfb)) return undefined;
  for (const triple of readdirSync("/usr/lib")) {
    for (const api of ["4.1", "4.0"]) {
      const miniBrowser = `/usr/lib/${triple}/webkit2gtk-${api}/MiniBrowser`;
      if (existsSync(miniBrowser)) return { driver, miniBrowser, xvfb };
    }
  }
  return undefined;
}

/**
 * Prints a command that installs something, and runs it.
 *
 * @param {string[]} command
 * @param {number} seconds
 */
export function run(command, seconds) {
  console.log(`$ ${command.join(" ")}`);
  const { status, error } = spawnSync(/** @type {string} */ (command[0]), command.slice(1), {
    stdio: ["ignore", "inherit", "inherit"],
    timeout: seconds * 1000,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  if (error) console.log(`${command[0]}: ${error.message}`);
  return status === 0;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { browsers, problems } = installBrowsers();
  for (const name of /** @type {const} */ (["chromium", "firefox"])) {
    const browser = browsers[name];
    if (browser) console.log(`${name}: ${browser.version} (${browser.path})`);
  }
  if (browsers.webkit) console.log(`webkit: ${browsers.webkit.miniBrowser}`);
  else
    console.log(
      "webkit: NOT FOUND, its tests will be skipped: WebKitGTK's WebDriver needs Debian (webkit2gtk-driver, xvfb)",
    );
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length ? 1 : 0;
}
