/** How a tool's input becomes a Cedar record. */
import { describe, expect, test } from "vitest";
import { cedarSchema, project, viewTool } from "../../../src/policy/cedar/view.ts";

const hiddenOf = (property: unknown) =>
  viewTool({ name: "t", inputSchema: { type: "object", properties: { x: property } } }).hidden;

function typeOf(property: unknown): unknown {
  const view = viewTool({ name: "t", inputSchema: { type: "object", properties: { x: property }, required: ["x"] } });
  const json = JSON.parse(JSON.stringify(cedarSchema(new Map([["t", view]]))));
  return json[""].actions["call:t"].appliesTo.context.attributes.input.attributes.x;
}

const decimal = { type: "Extension", name: "decimal" };

describe("a JSON Schema's Cedar type", () => {
  test.each<[unknown, object]>([
    [{ type: "string" }, { type: "String" }],
    [{ type: ["string"] }, { type: "String" }],
    [{ enum: ["a", "b"] }, { type: "String" }],
    [{ const: true }, { type: "Boolean" }],
    [{ enum: [1, 2] }, { type: "Long" }],
    [{ type: "integer" }, { type: "Long" }],
    [{ type: "number", multipleOf: 0.0001 }, decimal],
    [{ type: "number", multipleOf: 5 }, decimal],
    [
      { type: "array", items: { type: "array", items: { type: "boolean" } } },
      { type: "Set", element: { type: "Set", element: { type: "Boolean" } } },
    ],
    [
      { type: "object", properties: {} },
      { type: "Record", attributes: {} },
    ],
    [
      { type: "object", properties: { y: { type: "string" }, z: {} } },
      { type: "Record", attributes: { y: { type: "String", required: false } } },
    ],
  ])("of %j is %j", (property, type) => {
    expect(typeOf(property)).toEqual({ ...type, required: true });
  });

  test.each<[unknown, string]>([
    [true, "says nothing about"],
    [{ $ref: "https://example.com/" }, "says nothing about"],
    [{ $ref: "#/properties/x" }, "says nothing about"],
    [{ $ref: "#/nowhere" }, "says nothing about"],
    [{}, "more than one type"],
    [{ type: ["string", "null"] }, "more than one type"],
    [{ type: "null" }, "more than one type"],
    [{ anyOf: [{ type: "string" }] }, "more than one type"],
    [{ enum: ["a", 1] }, "more than one type"],
    [{ const: 0.5 }, "more than one type"],
    [{ type: "number" }, "multipleOf"],
    [{ type: "number", multipleOf: 0.00001 }, "multipleOf"],
    [{ type: "array" }, "says nothing about"],
    [{ type: "array", items: { type: "number" } }, "multipleOf"],
    [{ type: "array", prefixItems: [{ type: "string" }] }, "tuple"],
    [{ type: "object" }, "without declared properties"],
  ])("of %j does not exist, and the reason is given", (property, why) => {
    expect(hiddenOf(property)).toEqual([{ path: "input.x", why: expect.stringContaining(why) }]);
    expect(typeOf(property)).toBeUndefined();
  });

  test("only the field itself is hidden; reserved names and deeply nested fields are hidden too", () => {
    const inner = { type: "object", properties: { y: { type: "number" }, __entity: { type: "string" } } };
    expect(hiddenOf(inner).map(({ path }) => path)).toEqual(["input.x.y", "input.x.__entity"]);
    let deep: unknown = { type: "string" };
    for (let level = 0; level < 20; level++) deep = { type: "array", items: deep };
    expect(hiddenOf(deep)).toEqual([{ path: "input.x", why: expect.stringContaining("levels") }]);
  });
});

describe("a decimal", () => {
  const put = (value: number) => project({ type: "decimal" }, value);
  test.each<[number, string]>([
    [0, "0.0"],
    [-0, "0.0"],
    [1, "1.0"],
    [0.1, "0.1"],
    [-12.3456, "-12.3456"],
    [922337203685477, "922337203685477.0"],
  ])("of %d is %s", (value, arg) => {
    expect(put(value)).toEqual({ __extn: { fn: "decimal", arg } });
  });
  test.each([0.00001, 1e-7, 0.1 + 0.2, 1e15, 1e21, Number.NaN, Number.POSITIVE_INFINITY])(
    "of %d is refused",
    (value) => {
      expect(() => put(value)).toThrow("decimal");
    },
  );
});
