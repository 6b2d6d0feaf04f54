import type { Static } from "typebox"
import { strictObject } from "../lib/strict_object.ts"
import { Type } from "../lib/type.ts"

/** Least serious first. */
export const SEVERITIES = ["low", "medium", "high", "critical"] as const
export type Severity = (typeof SEVERITIES)[number]

export const SeveritySchema = Type.Enum([...SEVERITIES], { description: "How serious it is." })
/** What kind of event it is, in the words of whoever runs the gateway: `self_harm`, `abuse`, … */
export const CategorySchema = Type.String({
  pattern: "^[a-z][a-z0-9_.-]{0,63}$",
  description: "What it is, such as `self_harm`; lower-case letters, digits, `_`, `.` and `-`.",
})

/** Characters of a message that goes with an event; of what policies report, what is longer is cut off. */
export const MAX_MESSAGE_CHARS = 8192
/** Bytes of `details` as JSON. */
export const MAX_DETAILS_BYTES = 8192
/** Bytes of a whole report. */
export const MAX_REPORT_BYTES = 65_536

const text = (maxLength: number, description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength, description }))

/** What goes on record: stores keep no NUL and no half characters. */
const NAME = "^[^\\u0000-\\u001f\\u007f\\ud800-\\udfff]+$"
const name = (maxLength: number, description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength, pattern: NAME, description }))

/** What can be reported: the body of the endpoint. */
export const ReportSchema = strictObject({
  category: CategorySchema,
  severity: SeveritySchema,
  user: name(256, "Id of the user it is about: all connections of the user are told."),
  session: name(128, "The session it is about, in the reporter's words."),
  channel: name(128, "The channel it happened in."),
  message: text(MAX_MESSAGE_CHARS, "What was said. Goes to the service only: to no channel, log or record."),
  details: Type.Optional(
    Type.Record(Type.String({ maxLength: 64 }), Type.Unknown(), {
      description: `Whatever else receivers need, at most ${MAX_DETAILS_BYTES} bytes of JSON. Channels get it, too.`,
    }),
  ),
})
export type SafetyReport = Static<typeof ReportSchema>

/** A report that was taken. Plain data: it is posted between threads. */
export interface SafetyEvent extends SafetyReport {
  /** The same for the same `Idempotency-Key` of the same caller. */
  readonly id: string
  /** Wall clock, ms. */
  readonly at: number
  /** Who noticed: `api`, or `policy:` and its name. */
  readonly source: string
}

/** The event as channels and clients get it: a JSON object, without the message. */
export function publicText({ message: _, at, ...rest }: SafetyEvent): string {
  return JSON.stringify({ ...rest, at: new Date(at).toISOString() })
}

/** The event as the service gets it. */
export const serviceView = ({ at, ...rest }: SafetyEvent): object => ({
  ...rest,
  at: new Date(at).toISOString(),
})
