import type { AlertEvent } from "../store/events.ts"
import type { Block } from "./block.ts"

/** What operators are told of a block. Its end by time is told by `duration_s`; only an earlier one is an event. */
export function blockEvent(
  { client, reason, note, times, startedAtMs, untilMs }: Block,
  mode: "enforce" | "shadow",
): AlertEvent {
  const duration_s = (untilMs - startedAtMs) / 1000
  return { type: "abuse.blocked", payload: { client, reason, note, times, duration_s, mode } }
}
