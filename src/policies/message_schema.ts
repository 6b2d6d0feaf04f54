import { Type } from "../lib/type.ts"
import { compileSchema, type SchemaCheck } from "./json_schema.ts"
import { defineMessagePolicy, refuse } from "./message_policy.ts"
import { schemaProblems } from "./schema_problems.ts"

/** Characters of what the sender is told. */
const MAX_REASON = 300

/** Refuses messages that do not have the shape the namespace wants. */
export const messageSchema = defineMessagePolicy({
  name: "schema",
  doc: "Refuses messages whose data does not match a JSON Schema, with the code `INVALID_DATA`.",
  schema: Type.Record(Type.String(), Type.Unknown(), {
    description: "JSON Schema of `data` (2020-12), as in the policy `validate`; patterns take linear time.",
  }),
  check: (schema) => schemaProblems(schema, "schema"),
  compile(schema) {
    // Compiled with the first message: most workers start with nobody talking.
    let compiled: SchemaCheck | undefined
    return ({ data }) => {
      compiled ??= compileSchema(schema)
      const problems = compiled(data)
      if (problems.length === 0) return undefined
      const words = problems.slice(0, 3).map(({ pointer, message }) => `data${pointer} ${message}`)
      return refuse("INVALID_DATA", words.join("; ").slice(0, MAX_REASON))
    }
  },
})
