/** Keys and tokens in a text: by the rules of secretlint (https://github.com/secretlint/secretlint, MIT), and more. */
import { rules } from "@secretlint/secretlint-rule-preset-recommend";
import type { Span } from "./span.ts";

/** A rule of secretlint, as far as it is used here. */
interface Rule {
  meta: { id: string };
  create(context: RuleContext, options: object): { file?(source: RuleSource): void | Promise<void> };
}
interface RuleContext {
  createTranslator(messages: object): (id: string) => object;
  report(finding: { range: Span }): void;
}
interface RuleSource {
  content: string;
  contentType: "text";
  filePath: string;
  ext: string;
}

/** Not the rule by which a comment in the text can switch the others off. */
const used = (rules as unknown as Rule[]).filter(({ meta }) => !meta.id.endsWith("filter-comments"));

/**
 * Tokens that their prefix gives away, also in the middle of a word, where secretlint does not look. It does not know
 * Stripe's and Google's keys, JWTs, or a private key that breaks off after its beginning.
 */
const MORE = [
  /(?:AKIA|ASIA)[A-Z0-9]{16}/g,
  /gh[pousr]_[A-Za-z0-9]{36}/g,
  /github_pat_[A-Za-z0-9_]{60,90}/g,
  /xox[abeoprs]-[A-Za-z0-9-]{10,250}/g,
  /(?:sk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{24,250}/g,
  /AIza[A-Za-z0-9_-]{35}/g,
  /eyJ[A-Za-z0-9_-]{8,512}\.eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{0,4096}/g,
  /-----BEGIN [A-Z ]{0,32}PRIVATE KEY[A-Z ]{0,16}-----(?:[^-]{0,8192}-----END [A-Z ]{0,48}-----)?/g,
];

export async function findKeys(text: string): Promise<Span[]> {
  const found: Span[] = [];
  for (const pattern of MORE) {
    for (const { 0: match, index } of text.matchAll(pattern)) found.push([index, index + match.length]);
  }
  const context: RuleContext = {
    createTranslator: () => () => ({}),
    report: ({ range }) => found.push(range),
  };
  const source: RuleSource = { content: text, contentType: "text", filePath: "input.json", ext: ".json" };
  for (const rule of used) await rule.create(context, {}).file?.(source);
  return found;
}
