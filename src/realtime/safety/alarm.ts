import type { Principal } from "../../identity/principal.ts"
import { publicText, type SafetyEvent } from "../../safety/safety_event.ts"

/** A safety event on its way to clients, told to all workers of all gateways. Plain data. */
export interface Alarm {
  readonly id: string
  /** Wall clock, ms. */
  readonly at: number
  /** The push. */
  readonly text: string
  /** All of whose connections get it; "": nobody's. */
  readonly user: string
  /** Whose subscribers get it. */
  readonly channels: readonly string[]
}

/** Who may have to hear of an alarm. */
export interface Hearer {
  readonly principal: Principal | undefined
  readonly subscriptions: { has(channel: string): boolean }
}

export const toAlarm = (event: SafetyEvent, user: string, channels: readonly string[]): Alarm => ({
  id: event.id,
  at: event.at,
  text: `{"push":"safety",${publicText(event).slice(1)}`,
  user,
  channels,
})

/** Whether an alarm is for this connection. */
export function concerns(
  { user, channels }: Pick<Alarm, "user" | "channels">,
  { principal, subscriptions }: Hearer,
): boolean {
  if (user !== "" && principal?.id === user && principal.kind === "user") return true
  return channels.some((channel) => subscriptions.has(channel))
}
