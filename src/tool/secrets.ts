/** The secrets in an input: the values that a tool's schema marks `writeOnly`. */
import { markedValues } from "./marked-values.ts";
import type { JsonSchema } from "./schema.ts";

/**
 * JSON pointers to the values in an input that its schema marks `"writeOnly": true` (JSON Schema 2020-12, validation
 * §9.4): secrets, which the log must not keep. When in doubt a value is left out rather than a secret kept.
 */
export function secretsOf(schema: JsonSchema, input: unknown): string[] {
  return markedValues(schema, input, ({ writeOnly }) => writeOnly === true, true);
}
