import type { StaticDecode } from "typebox"
import { strictObject } from "../lib/strict_object.ts"
import { Type } from "../lib/type.ts"
import { Duration } from "../lib/units.ts"

/** What a template of a channel may hold in braces. */
const PLACEHOLDER = /\{([a-z]+)\}/g
const PLACEHOLDERS: readonly string[] = ["user", "session", "category", "severity"]

const ServiceCallSchema = strictObject(
  {
    service: Type.String({ description: "Name of the service that gets each event." }),
    path: Type.String({
      pattern: "^/[A-Za-z0-9/_.~-]*$",
      default: "/safety/events",
      description:
        "Path it gets them at, by POST, as JSON; 2xx: it has it. It may come twice, with the same `id`.",
    }),
    timeout: Duration({ default: "5s", description: "Longest wait for one answer (1ms to 30s)." }),
    give_up_after: Duration({
      default: "15m",
      description: "An event is tried again, after 1 s to 15 s, for as long as this (1s to 24h).",
    }),
  },
  { description: "The service that gets each event." },
)

const EventsSchema = strictObject(
  {
    path: Type.String({
      pattern: "^/[A-Za-z0-9/_.-]*[A-Za-z0-9_-]$",
      default: "/api/v1/safety/events",
      description: "Where events are reported, by POST.",
    }),
    roles: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      uniqueItems: true,
      description:
        "Callers with one of these roles may report events. Others need the scope `safety:report`; all others are refused.",
    }),
    service: Type.Optional(ServiceCallSchema),
    channels: Type.Array(Type.String({ minLength: 1, maxLength: 128 }), {
      default: [],
      maxItems: 8,
      uniqueItems: true,
      description:
        "Channels each event is published on, such as `safety:clinicians` or `user:{user}`: with `{user}`, `{session}`, `{category}`, `{severity}`. One of which the event lacks something is left out. Subscribers get a `safety` push at once, too.",
    }),
    notify_user: Type.Boolean({
      default: true,
      description:
        "All connections of the user an event is about get a `safety` push at once, whatever they are subscribed to.",
    }),
  },
  { description: "What becomes of safety events. Absent: none can be reported, and no policy may escalate." },
)

/** The section `safety`. */
export const SafetySchema = strictObject(
  { events: Type.Optional(EventsSchema) },
  { description: "What protects the people who use the services." },
)
export type SafetyOptions = StaticDecode<typeof SafetySchema>
export type SafetyEventOptions = StaticDecode<typeof EventsSchema>

export interface SafetyFault {
  readonly at: readonly (string | number)[]
  readonly message: string
}

const DAY_MS = 86_400_000

/**
 * What the schema cannot say. `secured`: config has a section `auth`. `services`: the names there are. `prefixes`: what
 * names of channels may begin with.
 */
export function checkSafety(
  { events }: SafetyOptions,
  secured: boolean,
  services: ReadonlySet<string>,
  prefixes: ReadonlySet<string>,
): readonly SafetyFault[] {
  if (events === undefined) return []
  const found: SafetyFault[] = []
  const report = (message: string, ...at: (string | number)[]) =>
    found.push({ at: ["events", ...at], message })
  const { service, channels, notify_user } = events
  if (!secured) report("nobody could report an event: write a section auth")
  if (service === undefined && channels.length === 0 && !notify_user)
    report("events would reach nobody: name a service or channels, or leave notify_user on", "notify_user")
  if (service !== undefined) {
    if (!services.has(service.service))
      report(`there is no service "${service.service}"`, "service", "service")
    if (service.timeout < 1 || service.timeout > 30_000)
      report("must be from 1ms to 30s", "service", "timeout")
    if (service.give_up_after < 1000 || service.give_up_after > DAY_MS)
      report("must be from 1s to 24h", "service", "give_up_after")
  }
  for (const [i, template] of channels.entries()) {
    const unknown = [...template.matchAll(PLACEHOLDER)].find(([, name]) => !PLACEHOLDERS.includes(name!))
    if (unknown !== undefined)
      report(`knows no ${unknown[0]}; there are {${PLACEHOLDERS.join("}, {")}}`, "channels", i)
    const prefix = template.slice(0, template.indexOf(":") + 1)
    if (!prefixes.has(prefix))
      report(`begins with no prefix of realtime.namespaces: "${prefix || template}"`, "channels", i)
    else if (!/^[A-Za-z0-9_.:@~-]+$/.test(template.replace(PLACEHOLDER, "x")))
      report("may hold letters, digits and _ . : @ ~ - beside what stands in braces", "channels", i)
  }
  return found
}

/** The channel of a template; `undefined`: the event lacks what it needs. */
export function fillTemplate(
  template: string,
  values: Readonly<Record<string, unknown>>,
): string | undefined {
  let whole = true
  const filled = template.replace(PLACEHOLDER, (_, name: string) => {
    const value = values[name]
    if (typeof value !== "string" || value === "") whole = false
    return String(value)
  })
  return whole ? filled : undefined
}
