import type { Config } from "../config/schema.ts"
import { FAILURES, type FailureCode } from "../policies/failure.ts"
import { MAX_REPORT_BYTES, ReportSchema } from "../safety/safety_event.ts"
import { REPORT_SCOPE } from "./safety/endpoints.ts"

type Json = Record<string, unknown>

const REFUSALS: readonly FailureCode[] = [
  "INVALID_REQUEST",
  "AUTH_ERROR",
  "FORBIDDEN",
  "PAYLOAD_TOO_LARGE",
  "INVALID_FIELD",
  "OVERLOADED",
]
const EXAMPLE = {
  category: "self_harm",
  severity: "critical",
  user: "u_42",
  session: "7",
  channel: "session:7",
  details: { helpline: "988" },
}

/** The endpoint safety events are reported at. `refuse`: a reference to the response of a status. */
export function safetyPaths({ safety }: Config, refuse: (status: number) => Json, callers: Json[]): Json {
  if (safety?.events === undefined) return {}
  const { path, roles } = safety.events
  const who = roles.length === 0 ? "" : `, or one of the roles ${roles.join(", ")}`
  const statuses = [...new Set(REFUSALS.map((code) => FAILURES[code].status))]
  const post = {
    operationId: "post_safety_events",
    tags: ["gateway"],
    summary: "Report a safety event",
    description: `Connections are told at once, before all that waits for them; the service and channels of the config get it until they have it. At most ${MAX_REPORT_BYTES} bytes. Needs the scope \`${REPORT_SCOPE}\`${who}.`,
    security: callers,
    parameters: [
      {
        name: "Idempotency-Key",
        in: "header",
        schema: { type: "string", maxLength: 128 },
        description:
          "A second report of the caller with the same key within 10 minutes is not an event again.",
      },
    ],
    requestBody: {
      required: true,
      content: { "application/json": { schema: ReportSchema, example: EXAMPLE } },
    },
    responses: {
      202: {
        description: "It was taken. `duplicate`: the key was known, and nothing was done again.",
        content: {
          "application/json": {
            schema: {
              type: "object",
              required: ["id", "duplicate"],
              properties: { id: { type: "string" }, duplicate: { type: "boolean" } },
            },
          },
        },
      },
      ...Object.fromEntries(statuses.map((status) => [status, refuse(status)])),
    },
  }
  return { [path]: { post } }
}
