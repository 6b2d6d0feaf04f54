import { isSecret, type Path } from "../config/problem.ts"
import { type Config, ConfigSchema } from "../config/schema.ts"
import { late } from "../lib/late.ts"
import { REDACTED, redactQuery, redactText } from "../observe/redact.ts"

/** The configuration as a file would hold it (seconds, bytes, defaults filled in), without its secrets. */
export function redactConfig(config: Config): unknown {
  return redact([], late.typebox.Value.Encode(ConfigSchema, structuredClone(config)))
}

function redact(path: Path, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((each, i) => redact([...path, i], each))
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, redact([...path, key], each)]))
  }
  // The path of a key file is no secret; what stands in the file is never in the config.
  if (isSecret(path) && path.join(".") !== "server.tls.key") return REDACTED
  return typeof value === "string" ? redactUrl(redactText(value)) : value
}

/** A database URL may hold its password among the parameters. */
function redactUrl(text: string): string {
  const question = /^[a-z]+:\/\/[^?]*\?/.exec(text)?.[0].length
  return question === undefined ? text : text.slice(0, question) + redactQuery(text.slice(question))
}
