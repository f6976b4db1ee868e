/**
 * Properties are tried with the same values every time the tests run. `npm run fuzz` tries others, and prints their seed.
 */
import fc from "fast-check";

fc.configureGlobal({ seed: Number(import.meta.env.VAK_SEED) });
