/** How many times as many tries the fuzz tests make as in `npm test`: `npm run fuzz` sets it. */
export const fuzzFactor = Number(import.meta.env.VAK_FUZZ);
