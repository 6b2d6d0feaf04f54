import type { Config } from "../../config/schema.ts"
import type { BuiltinRoute } from "../../gateway/snapshot.ts"
import { FieldList } from "../../http1/field_list.ts"
import { readBody } from "../../http1/read_body.ts"
import type { Principal } from "../../identity/principal.ts"
import { compileLate } from "../../lib/compile_late.ts"
import { parseJson } from "../../lib/json_parse.ts"
import { CUT_SHORT, type Failure, fail } from "../../policies/failure.ts"
import type { Answered } from "../../policies/policy.ts"
import type { SafetyReports } from "../../realtime/safety/reports.ts"
import {
  MAX_DETAILS_BYTES,
  MAX_REPORT_BYTES,
  ReportSchema,
  type SafetyReport,
} from "../../safety/safety_event.ts"
import type { SafetyEventOptions } from "../../safety/safety_options.ts"
import type { Exchange } from "../../upstream/exchange.ts"
import { type FieldError, fieldErrors } from "../field_errors.ts"

/** With it a caller may report safety events. */
export const REPORT_SCOPE = "safety:report"
const KEY = /^[\x21-\x7e]{1,128}$/
/** Longest list of what is wrong with a report. */
const MAX_PROBLEMS = 10

/** The endpoint of the section `safety.events`; none without. */
export const safetyRoutes = ({ safety }: Config): readonly BuiltinRoute[] =>
  safety?.events === undefined ? [] : [{ path: safety.events.path, methods: ["POST"], caller: true }]

/** Whether a path is the one of `safetyRoutes`. */
export const isSafetyPath = (path: string, { events }: Pick<SafetyReports, "events">): boolean =>
  path === events?.path

/** Takes a report: 202 with the id of the event once sockets were told and the rest is being handed on. */
export async function answerSafety(exchange: Exchange, safety: SafetyReports): Promise<Answered | Failure> {
  const { events } = safety
  if (events === undefined) return fail("NOT_FOUND")
  // The routing table has seen to it that the caller is known.
  const caller = exchange.principal
  if (caller === undefined) return fail("AUTH_ERROR")
  if (!mayReport(caller, events)) return NOT_ALLOWED
  const key = exchange.header("idempotency-key")
  if (key !== undefined && !KEY.test(key))
    return fail("INVALID_REQUEST", { message: "Idempotency-Key must be 1 to 128 visible characters." })
  const body = await readBody(exchange.body, MAX_REPORT_BYTES)
  if (body === "too_large") return fail("PAYLOAD_TOO_LARGE", { details: { limit: MAX_REPORT_BYTES } })
  if (body === "aborted") return CUT_SHORT
  const parsed = parseJson(body, 16)
  if (!parsed.ok) return fail("INVALID_REQUEST", { message: `The body ${parsed.message}.` })
  const errors = problemsOf(parsed.value)
  if (errors.length > 0) return fail("INVALID_FIELD", { details: { errors } })
  const raised = await safety.raise(parsed.value as SafetyReport, {
    source: "api",
    reporter: { id: caller.id, client: exchange.client, requestId: exchange.id },
    key: key === undefined ? undefined : `api ${caller.kind} ${caller.id} ${key}`,
  })
  if (raised === undefined) return BUSY
  const answer = { status: 202, fields: FIELDS, body: Buffer.from(JSON.stringify(raised)) }
  return { kind: "answer", answer }
}

const NOT_ALLOWED = fail("FORBIDDEN", { details: { missing: { scopes: [REPORT_SCOPE] } } })
const BUSY = fail("OVERLOADED", { retryAfterS: 1, cause: "safety events cannot be taken" })
const FIELDS = new FieldList(["content-type", "application/json", "cache-control", "no-store"])

const mayReport = ({ scopes, roles }: Principal, events: SafetyEventOptions): boolean =>
  scopes.includes(REPORT_SCOPE) || events.roles.some((role) => roles.includes(role))

const compiled = compileLate(ReportSchema)

/** Where it does not fit, and what would; never what was found. */
function problemsOf(value: unknown): readonly FieldError[] {
  const report = compiled()
  if (!report.Check(value)) return fieldErrors(report, value).slice(0, MAX_PROBLEMS)
  const { details } = value as SafetyReport
  if (details === undefined || Buffer.byteLength(JSON.stringify(details)) <= MAX_DETAILS_BYTES) return []
  return [{ field: "/details", message: `must have at most ${MAX_DETAILS_BYTES} bytes as JSON` }]
}
