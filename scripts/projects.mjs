/** Which files Vitest's projects run, where the scripts that read the projects' reports have to know it too. */

/** WebKitGTK has no JSPI, so vak needs an isolated page there. The rest of test/isolated only repeats test/browser. */
export const ISOLATED_IN_WEBKIT = ["test/isolated/isolation.test.ts", "test/isolated/no-frame.test.ts"];

/**
 * What `npm test` leaves out, because it takes too long: `npm run test:kill` and `npm run test:million` run it. Each
 * by the environment variable that is set there.
 */
export const BY_COMMAND = {
  VAK_KILLS: "test/outside/kill.test.ts",
  VAK_MILLION: "test/outside/million.test.ts",
};
