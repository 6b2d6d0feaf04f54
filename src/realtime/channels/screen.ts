import { compileLate } from "../../lib/compile_late.ts"
import { strictObject } from "../../lib/strict_object.ts"
import {
  edit,
  escalate,
  type MessageStep,
  type MessageVerdict,
  type Refusal,
  refuse,
} from "../../policies/message_policy.ts"
import { CategorySchema, SeveritySchema } from "../../safety/safety_event.ts"
import { type CallService, callerView, messageIn, type ServiceCall } from "./call_service.ts"

/**
 * Shows each message to the service that screens its namespace, after all policies. Without an answer it does not pass.
 * An answer may hold `escalate` with `category` and `severity`, whatever it says else.
 */
export function screenStep(screen: ServiceCall, call: CallService): MessageStep {
  return {
    name: "screen",
    async message({ channel, data, principal }) {
      const answer = await call(screen, { channel, user: callerView(principal), data })
      if (answer === undefined || (answer.status >= 300 && answer.status !== 403)) return UNAVAILABLE
      const verdict =
        answer.status === 403 ? refuse("REFUSED", messageIn(answer.value)) : editIn(answer.value)
      return escalateIn(answer.value, verdict)
    },
  }
}

const UNAVAILABLE: Refusal = Object.freeze(refuse("UNAVAILABLE"))

type Plain = ReturnType<typeof editIn> | Refusal

const editIn = (value: unknown) =>
  typeof value === "object" && value !== null && "data" in value ? edit(value.data) : undefined

const escalation = compileLate(strictObject({ category: CategorySchema, severity: SeveritySchema }))

function escalateIn(value: unknown, verdict: Plain): MessageVerdict {
  const told = (typeof value === "object" && value !== null ? value : {}) as { readonly escalate?: unknown }
  if (told.escalate === undefined) return verdict
  // What cannot be understood must not be lost: somebody is to look.
  const { category, severity } = escalation().Check(told.escalate)
    ? (told.escalate as { category: string; severity: "low" })
    : ({ category: "unknown", severity: "high" } as const)
  return escalate({ category, severity, details: {} }, verdict)
}
