/**
 * Finds the independent verifiers of logs: Go with x/mod's sumdb, and openssl. `node scripts/log-verifiers.mjs`
 * installs what is missing, on Debian as root.
 */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { run } from "./browsers.mjs";

/** Where Debian puts Go sources. */
const GOPATH = "/usr/share/gocode";
const SUMDB = `${GOPATH}/src/golang.org/x/mod/sumdb/tlog`;

/** The environment in which Go finds Debian's x/mod and stays off the network. */
export const goEnv = { GOPATH, GO111MODULE: "off", GOFLAGS: "", CGO_ENABLED: "0" };

/** @returns {{ go: boolean, openssl: boolean }} */
export function findVerifiers() {
  return { go: works(["go", "version"]) && existsSync(SUMDB), openssl: works(["openssl", "version"]) };
}

/**
 * Finds them, and installs those that are missing where it can.
 *
 * @returns {{ go: boolean, openssl: boolean }}
 */
export function installVerifiers() {
  const found = findVerifiers();
  const wanted = [...(found.go ? [] : ["golang-go", "golang-golang-x-mod-dev"]), ...(found.openssl ? [] : ["openssl"])];
  if (!wanted.length || process.getuid?.() !== 0 || !existsSync("/etc/debian_version")) return found;
  if (run(["apt-get", "update"], 120)) run(["apt-get", "install", "-y", "--no-install-recommends", ...wanted], 600);
  return findVerifiers();
}

/** @param {string[]} command */
function works(command) {
  return spawnSync(/** @type {string} */ (command[0]), command.slice(1), { timeout: 30_000 }).status === 0;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { go, openssl } = installVerifiers();
  console.log(`go with x/mod: ${go ? "found" : "NOT FOUND"}`);
  console.log(`openssl: ${openssl ? "found" : "NOT FOUND"}`);
  process.exitCode = go && openssl ? 0 : 1;
}
