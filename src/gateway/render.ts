import { FieldList } from "../http1/field_list.ts"
import { prefersProblemJson } from "../lib/accept.ts"
import { FAILURES, type Failure } from "../policies/failure.ts"
import type { Answer, Exchange } from "../upstream/exchange.ts"

/**
 * The one place where a failure becomes an answer: the gateway's error object, or `application/problem+json`
 * (RFC 9457) when the client prefers it.
 */
export function renderFailure(exchange: Exchange, failure: Failure): Answer {
  const { status } = FAILURES[failure.code]
  const problem = prefersProblemJson(exchange.header("accept"))
  const body = problem
    ? {
        type: "about:blank",
        title: failure.message,
        status,
        code: failure.code,
        details: failure.details,
        request_id: exchange.id,
      }
    : {
        error: { code: failure.code, message: failure.message, details: failure.details },
        request_id: exchange.id,
      }
  const lines = [
    "content-type",
    problem ? "application/problem+json" : "application/json",
    "cache-control",
    "no-store",
  ]
  if (failure.retryAfterS !== undefined)
    lines.push("retry-after", String(Math.max(1, Math.ceil(failure.retryAfterS))))
  for (const [name, value] of Object.entries(failure.headers)) lines.push(name, value)
  return { status, fields: new FieldList(lines), body: Buffer.from(JSON.stringify(body)) }
}
