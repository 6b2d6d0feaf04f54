import { didYouMean } from "../lib/suggest.ts"
import { isFieldName, isFieldValue } from "../policies/header_rules.ts"
import type { Decoded } from "./decode.ts"
import type { Path } from "./problem.ts"
import type { Report } from "./report.ts"

/** A static answer, of a route or a fallback. */
export function checkAnswer(
  answer: {
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
  },
  at: Path,
  report: Report,
): void {
  if ((answer.status === 204 || answer.status === 304) && answer.body !== "") {
    report.problem([...at, "body"], `an answer with status ${answer.status} has no body`)
  }
  for (const [name, value] of Object.entries(answer.headers)) {
    if (!isFieldName(name)) report.problem([...at, "headers", name], "no header can have this name")
    if (!isFieldValue(value)) {
      report.problem(
        [...at, "headers", name],
        "cannot be a header value: no line breaks, controls, outer spaces or characters beyond Latin-1; at most 8 KB",
      )
    }
  }
}

/** Whether a service of this name exists. Services that are broken elsewhere count. */
export function checkServiceName(decoded: Decoded, name: string, at: Path, report: Report): void {
  const { config, brokenServices, brokenSections } = decoded
  if (brokenSections.has("services") || brokenServices.has(name) || Object.hasOwn(config.services, name))
    return
  const known = [...Object.keys(config.services), ...brokenServices]
  const hint = known.length === 0 ? "; there are no services" : didYouMean(name, known)
  report.problem(at, `unknown service ${JSON.stringify(name)}${hint}`)
}
