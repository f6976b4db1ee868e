/** How many times as much the fuzz tests try as in `npm test`: `npm run fuzz` says. */
export const fuzzFactor = Number(import.meta.env.VAK_FUZZ);
