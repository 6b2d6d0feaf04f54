import { expect, test } from "bun:test"
import TypeBox from "typebox"
import { Type } from "../../src/lib/type.ts"

/** Everything of a schema, also what JSON does not show; functions by their text. */
function whole(value: unknown): unknown {
  if (typeof value === "function") return String(value)
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(whole)
  return Object.fromEntries(
    Object.entries(Object.getOwnPropertyDescriptors(value)).map(([key, { value: inner, enumerable }]) => [
      key,
      { enumerable, inner: whole(inner) },
    ]),
  )
}

const described = { description: "what it is", default: 3 }

/** One use of each builder, as the schemas of the configuration use them. */
const uses: Readonly<Record<string, (type: typeof Type) => object>> = {
  String: (type) => type.String({ minLength: 1, pattern: "^a" }),
  "String without options": (type) => type.String(),
  Integer: (type) => type.Integer(described),
  Number: (type) => type.Number({ minimum: 0, ...described }),
  Boolean: (type) => type.Boolean(described),
  Null: (type) => type.Null(),
  Unknown: (type) => type.Unknown(described),
  "Literal of a text": (type) => type.Literal("a", described),
  "Literal of a number": (type) => type.Literal(1),
  "Literal of a boolean": (type) => type.Literal(true),
  Enum: (type) => type.Enum(["a", "b"], described),
  Array: (type) => type.Array(type.String(), { minItems: 1 }),
  Union: (type) => type.Union([type.String(), type.Null()], described),
  "Record of any name": (type) => type.Record(type.String(), type.Integer(), described),
  "Record of names with a rule": (type) => type.Record(type.String({ pattern: "^[a-z]+$" }), type.Integer()),
  "Record of names of a length": (type) => type.Record(type.String({ maxLength: 3 }), type.Integer()),
  Object: (type) =>
    type.Object(
      { a: type.String(), b: type.Optional(type.Integer(described)) },
      { additionalProperties: false },
    ),
  "Object of optional keys": (type) => type.Object({ b: type.Optional(type.Integer()) }),
  "Object of no keys": (type) => type.Object({}),
  "Optional of an optional": (type) => type.Optional(type.Optional(type.String())),
  Codec: (type) =>
    type
      .Codec(type.String({ unit: "size" }))
      .Decode((text) => text.length)
      .Encode((length) => "x".repeat(length)),
  "Optional of a codec": (type) =>
    type.Optional(
      type
        .Codec(type.String())
        .Decode((text) => text.length)
        .Encode((length) => "x".repeat(length)),
    ),
}

for (const [name, build] of Object.entries(uses)) {
  test(`${name} is the schema that TypeBox builds`, () => {
    const [ours, theirs] = [build(Type), build(TypeBox)]
    expect(whole(ours)).toEqual(whole(theirs))
    // What people read keeps its order too.
    expect(JSON.stringify(ours)).toBe(JSON.stringify(theirs))
  })
}

test("marking a schema optional leaves the schema itself as it is", () => {
  const name = Type.String()
  const schema = Type.Object({ a: Type.Optional(name), b: name })
  expect(JSON.parse(JSON.stringify(schema)).required).toEqual(["b"])
})
