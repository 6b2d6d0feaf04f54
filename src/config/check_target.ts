import { didYouMean } from "../lib/suggest.ts"
import type { Decoded } from "./decode.ts"
import type { Path } from "./problem.ts"
import type { Report } from "./report.ts"

/** RFC 9110 section 5.6.2: a token. */
export const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

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
    if (!HEADER_NAME.test(name)) report.problem([...at, "headers", name], "no header can have this name")
    if (/[^\t\x20-\x7e\x80-\xff]/.test(value)) {
      report.problem(
        [...at, "headers", name],
        "a header value cannot hold line breaks, controls or characters beyond Latin-1",
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
