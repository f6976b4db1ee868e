/** Schemas made by a library: Standard Schema and Standard JSON Schema (https://standardschema.dev). */
import { invalidTool, type JsonSchema } from "./schema.ts";

/**
 * A schema made by a library (Zod 4.2, ArkType 2.1.28, Valibot with `@valibot/to-json-schema`, …) that implements both
 * Standard Schema and Standard JSON Schema: it validates, and it describes itself as JSON Schema, which is what guests,
 * policies and the log see.
 */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
    readonly jsonSchema?: { readonly input: (options: { target: "draft-2020-12" }) => JsonSchema };
  };
}

type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string }[] };

export function isStandard(schema: unknown): schema is StandardSchema {
  return (typeof schema === "object" || typeof schema === "function") && schema !== null && "~standard" in schema;
}

/**
 * The JSON Schema of a tool's Standard Schema, before vak has read it.
 *
 * @param name the tool's
 * @throws VakError `invalid-tool`
 */
export function toJsonSchema(name: string, schema: StandardSchema): unknown {
  const { validate, vendor, jsonSchema } = (schema["~standard"] ?? {}) as Partial<StandardSchema["~standard"]>;
  if (typeof validate !== "function" || typeof vendor !== "string") {
    throw invalidTool(
      `Tool "${name}", inputSchema: "~standard" needs a function validate and a string vendor, as Standard Schema says.`,
    );
  }
  if (!jsonSchema) {
    throw invalidTool(
      `Tool "${name}": its schema, made by ${vendor}, cannot describe itself as JSON Schema. ` +
        "Use a library that implements Standard JSON Schema, or write inputSchema as JSON Schema.",
    );
  }
  try {
    return jsonSchema.input({ target: "draft-2020-12" });
  } catch (cause) {
    throw invalidTool(`Tool "${name}": its schema cannot be written as JSON Schema.`, cause);
  }
}
