import { Value } from "typebox/value"
import { type Config, ConfigSchema } from "../../src/config/schema.ts"

/** A decoded config from what a file would hold; throws when it does not fit the schema. */
export function exampleConfig(file: object): Config {
  return Value.Decode(ConfigSchema, Value.Default(ConfigSchema, structuredClone(file))) as Config
}
