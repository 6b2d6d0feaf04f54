import { Value } from "typebox/value"
import { isSecret, type Path } from "../config/problem.ts"
import { type Config, ConfigSchema } from "../config/schema.ts"
import { REDACTED, redactText } from "../observe/redact.ts"

/** The configuration as a file would hold it (seconds, bytes, defaults filled in), without its secrets. */
export function redactConfig(config: Config): unknown {
  return redact([], Value.Encode(ConfigSchema, structuredClone(config)))
}

function redact(path: Path, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((each, i) => redact([...path, i], each))
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, redact([...path, key], each)]))
  }
  // The path of a key file is no secret; what stands in the file is never in the config.
  if (isSecret(path) && path.join(".") !== "server.tls.key") return REDACTED
  return typeof value === "string" ? redactText(value) : value
}
