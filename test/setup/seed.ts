/**
 * Property tests use the same seed in every run of `npm test`. `npm run fuzz` picks a fresh one and prints it.
 */
import fc from "fast-check";

fc.configureGlobal({ seed: Number(import.meta.env.VAK_SEED) });
