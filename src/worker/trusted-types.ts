/** vak's Trusted Types policy, for pages that require one (https://w3c.github.io/trusted-types). */

/** The rules of the policy, under the specification's names. */
interface TrustedRules {
  createScriptURL(url: string): string;
  createHTML(html: string): string;
}

/** TypeScript does not know `trustedTypes` yet. */
let policy: TrustedRules | undefined;

/** Marks text of vak's own as safe to run; unchanged where the browser has no Trusted Types. */
export function trusted(rule: keyof TrustedRules, text: string): string {
  const { trustedTypes } = globalThis as {
    trustedTypes?: { createPolicy(name: string, rules: TrustedRules): TrustedRules };
  };
  try {
    policy ??= trustedTypes?.createPolicy("vak", { createScriptURL: (url) => url, createHTML: (html) => html });
  } catch {
    // The page does not allow a policy of this name. Whether it requires one, starting the worker will show.
  }
  return policy?.[rule](text) ?? text;
}
