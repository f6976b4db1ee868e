/** Ends the rewriting of a module whose stack cannot be captured: its runs then have no checkpoints within them. */

export class Uncapturable extends Error {}

export const uncapturable = (what: string): never => {
  throw new Uncapturable(what);
};
