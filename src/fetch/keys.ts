/** Keys and tokens: the rules of secretlint (https://github.com/secretlint/secretlint, MIT), and what those leave out. */
import { rules } from "@secretlint/secretlint-rule-preset-recommend";

/** From where to where in a text, UTF-16 units. */
export type Span = readonly [start: number, end: number];

/** What a rule of secretlint is given and gives, as far as it is used here. */
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

/** Without the rule that lets a comment in the text switch the others off. */
const used = (rules as unknown as Rule[]).filter(({ meta }) => !meta.id.endsWith("filter-comments"));

/**
 * Tokens that show what they are by how they begin, wherever they stand: secretlint wants a word to begin there, and knows
 * neither Stripe's, Google's, JWTs, nor a private key of which only the beginning is there.
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

/** Where there are keys and tokens in a text. */
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
