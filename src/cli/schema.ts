import { configJsonSchema } from "../config/json_schema.ts"
import { referencePage } from "../config/markdown.ts"
import { parseCommand } from "./args.ts"
import { EXIT, type Output } from "./output.ts"
import { usageError } from "./usage.ts"

/** `gatehouse schema [--markdown]`: the config's JSON Schema, or the reference page. */
export function schema(args: readonly string[], output: Output): number {
  const parsed = parseCommand(args, { markdown: { type: "boolean" } })
  if (!parsed.ok) return usageError("schema", parsed.message, output)
  output.out(parsed.values.markdown ? referencePage() : `${JSON.stringify(configJsonSchema(), null, 2)}\n`)
  return EXIT.fine
}
