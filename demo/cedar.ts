/** Syntax colours for Cedar policies. Whether a policy is valid is for the policy engine to say. */
import { LanguageSupport, StreamLanguage } from "@codemirror/language";

const KEYWORDS = new Set(["when", "unless", "if", "then", "else", "in", "like", "has", "is"]);
const VARIABLES = new Set(["principal", "action", "resource", "context"]);

const language = StreamLanguage.define({
  name: "cedar",
  languageData: { commentTokens: { line: "//" }, closeBrackets: { brackets: ["(", "[", "{", '"'] } },
  token(stream) {
    if (stream.eatSpace()) return null;
    if (stream.match("//")) {
      stream.skipToEnd();
      return "comment";
    }
    if (stream.match(/^"(?:[^"\\]|\\.)*"?/)) return "string";
    if (stream.match(/^@\w+/)) return "meta";
    if (stream.match(/^\d+/)) return "number";
    if (stream.match(/^[A-Za-z_]\w*/)) {
      const word = stream.current();
      if (word === "permit") return "inserted";
      if (word === "forbid") return "deleted";
      if (word === "true" || word === "false") return "bool";
      if (KEYWORDS.has(word)) return "keyword";
      if (VARIABLES.has(word)) return "variableName";
      return stream.match("::", false) ? "typeName" : "propertyName";
    }
    stream.next();
    return null;
  },
});

export const cedar = (): LanguageSupport => new LanguageSupport(language);
