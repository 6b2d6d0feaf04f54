import type { ControlQuestion, ControlReplies } from "../../gateway/control_question.ts"
import { FieldList } from "../../http1/field_list.ts"
import { readBody } from "../../http1/read_body.ts"
import type { IdentityAnswer, IdentityRequest } from "../../identity/messages.ts"
import { CUT_SHORT, FAILURES, type Failure, type FailureCode, fail } from "../../policies/failure.ts"
import type { Answered } from "../../policies/policy.ts"
import type { Exchange } from "../../upstream/exchange.ts"

/** Largest body of a request to an endpoint of identity. */
export const MAX_BODY_BYTES = 65_536

/** Fields the endpoints read; nothing else of the client leaves the worker. */
const FIELDS = [
  "accept",
  "authorization",
  "content-type",
  "cookie",
  "origin",
  "sec-fetch-site",
  "user-agent",
  "x-csrf-token",
] as const

export type Ask = <Q extends ControlQuestion>(question: Q) => Promise<ControlReplies[Q["kind"]] | undefined>

/**
 * Accounts and keys are the control plane's: one place writes them, and a password hash never holds up the
 * traffic of a worker. The worker hands the request over and sends what comes back.
 */
export async function askControlPlane(exchange: Exchange, ask: Ask): Promise<Answered | Failure> {
  const body = await readBody(exchange.body, MAX_BODY_BYTES)
  if (body === "too_large") return fail("PAYLOAD_TOO_LARGE", { details: { limit: MAX_BODY_BYTES } })
  if (body === "aborted") return CUT_SHORT
  const answer = await ask({ kind: "request", request: toRequest(exchange, body) })
  if (answer === undefined)
    return fail("OVERLOADED", { retryAfterS: 1, cause: "no answer from the control plane" })
  return toOutcome(answer)
}

function toRequest(exchange: Exchange, body: Uint8Array): IdentityRequest {
  const fields: string[] = []
  for (const name of FIELDS) {
    const value = exchange.header(name)
    if (value !== undefined) fields.push(name, value)
  }
  return {
    method: exchange.method,
    path: exchange.path,
    query: exchange.query,
    scheme: exchange.scheme,
    host: exchange.host,
    client: exchange.client,
    requestId: exchange.id,
    fields,
    body: exchange.body === undefined ? undefined : body,
    principal: exchange.principal,
  }
}

function toOutcome(answer: IdentityAnswer): Answered | Failure {
  if (answer.kind === "answer") {
    const { status, fields, body } = answer
    return { kind: "answer", answer: { status, fields: new FieldList(fields), body } }
  }
  const code = answer.code in FAILURES ? (answer.code as FailureCode) : "INTERNAL_ERROR"
  return fail(code, {
    ...(answer.message !== undefined && { message: answer.message }),
    details: answer.details,
    headers: answer.headers,
    ...(answer.retryAfterS !== undefined && { retryAfterS: answer.retryAfterS }),
  })
}
