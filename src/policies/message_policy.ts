import type { StaticDecode, TSchema } from "typebox"
import type { Principal } from "../identity/principal.ts"
import { SEVERITIES, type Severity } from "../safety/safety_event.ts"

/** A message a client publishes on a channel, as the policies of its namespace see it. */
export interface Message {
  readonly namespace: string
  readonly channel: string
  /** What the policies before have made of it. Not to be changed in place. */
  readonly data: unknown
  /** `undefined`: nobody knows who sends it. */
  readonly principal: Principal | undefined
}

/** What people responsible must hear of, at once: it becomes a safety event of the sender's. */
export interface Escalation {
  readonly category: string
  readonly severity: Severity
  /** For receivers; without what was said. */
  readonly details: Readonly<Record<string, string | readonly string[]>>
}

/** The message is not published; `reason` is for the sender. */
export interface Refusal {
  readonly kind: "refuse"
  /** `INVALID_DATA`: it could never be taken in this form. */
  readonly code: "REFUSED" | "INVALID_DATA" | "UNAVAILABLE"
  /** `undefined`: the words of the code. */
  readonly reason: string | undefined
}

/** Goes on with other data. */
export interface Edit {
  readonly kind: "edit"
  readonly data: unknown
}

/** A safety event, whatever becomes of the message. */
export interface Escalated {
  readonly kind: "escalate"
  readonly escalation: Escalation
  /** `undefined`: the message goes on as it is. */
  readonly and: Refusal | Edit | undefined
}

/** What a policy says of a message; `undefined`: it goes on as it is. */
export type MessageVerdict = undefined | Refusal | Edit | Escalated

/** One element of the chain. Return a promise only when something really is awaited. */
export interface MessageStep {
  /** Who says so, for records and metrics. */
  readonly name: string
  message(message: Message): MessageVerdict | Promise<MessageVerdict>
}

/** A policy namespaces can ask for: the `message` hook. */
export interface MessagePolicy<Name extends string = string, Schema extends TSchema = TSchema> {
  /** The config key, the file and the export: one word. */
  readonly name: Name
  /** One sentence for the reference. */
  readonly doc: string
  readonly schema: Schema
  /** Cross-checks the schema cannot express: one message a problem. */
  check?(options: StaticDecode<Schema>): readonly string[]
  /** Whether it may escalate, which needs `safety.events`. */
  escalates?(options: StaticDecode<Schema>): boolean
  /** Runs once a namespace when config loads. */
  compile(options: StaticDecode<Schema>): MessageStep["message"]
}

/** Types a policy by its own schema. */
export function defineMessagePolicy<const Name extends string, Schema extends TSchema>(
  policy: MessagePolicy<Name, Schema>,
): MessagePolicy<Name, Schema> {
  return policy
}

export const refuse = (code: Refusal["code"], reason?: string): Refusal => ({ kind: "refuse", code, reason })

export const edit = (data: unknown): Edit => ({ kind: "edit", data })

export const escalate = (escalation: Escalation, and?: Refusal | Edit): Escalated => ({
  kind: "escalate",
  escalation,
  and,
})

/** Whether the first is the more serious one. */
export const isWorse = (one: Severity, other: Severity): boolean =>
  SEVERITIES.indexOf(one) > SEVERITIES.indexOf(other)
