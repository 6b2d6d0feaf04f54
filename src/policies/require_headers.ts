import { Type } from "../lib/type.ts"
import { type Failure, fail } from "./failure.ts"
import { isFieldName, isFieldValue } from "./header_rules.ts"
import { definePolicy } from "./policy.ts"

interface Requirement {
  readonly name: string
  /** Empty: any value that is not empty. */
  readonly allowed: ReadonlySet<string>
  readonly refusal: Failure
}

function toRequirement(header: string, allowed: readonly string[]): Requirement {
  return {
    name: header.toLowerCase(),
    allowed: new Set(allowed),
    // What the client sent is not repeated: such headers carry consent marks and keys.
    refusal: fail("MISSING_HEADER", { details: { header, allowed } }),
  }
}

export const requireHeaders = definePolicy({
  name: "require_headers",
  doc: "Refuses requests that lack a header, or whose value is not one of those allowed (400).",
  failsClosed: true,
  schema: Type.Record(Type.String(), Type.Array(Type.String()), {
    description:
      "Header name to the values allowed, compared exactly; an empty list allows any value that is not empty.",
  }),
  check(options) {
    const found: string[] = []
    const seen = new Set<string>()
    for (const [name, allowed] of Object.entries(options)) {
      if (!isFieldName(name)) found.push(`${name}: not a header name`)
      if (seen.has(name.toLowerCase())) found.push(`${name}: named twice`)
      seen.add(name.toLowerCase())
      for (const value of allowed) {
        if (value === "" || !isFieldValue(value))
          found.push(`${name}: "${value}" can never be sent as a value`)
      }
    }
    if (seen.size === 0) found.push("names no header; name one or leave the policy out")
    return found
  },
  compile(options) {
    const requirements = Object.entries(options).map(([name, allowed]) => toRequirement(name, allowed))
    return {
      request(exchange) {
        for (let i = 0; i < requirements.length; i++) {
          const { name, allowed, refusal } = requirements[i]!
          // A header sent twice comes joined by a comma and fits no single value: refused, not guessed.
          const value = exchange.header(name)
          if (value === undefined || value === "") return refusal
          if (allowed.size > 0 && !allowed.has(value)) return refusal
        }
        return undefined
      },
    }
  },
})
