import type { ServerConfig } from "../config/schema.ts"
import { PING_INTERVAL_MS, type RelayLimits } from "../realtime/relay.ts"

/** What a relay that opens under this configuration is held to. */
export function compileRelayLimits({ max_message, idle_timeout }: ServerConfig["websocket"]): RelayLimits {
  return {
    maxMessageBytes: max_message,
    idleTimeoutMs: idle_timeout === 0 ? Number.POSITIVE_INFINITY : idle_timeout,
    pingIntervalMs: PING_INTERVAL_MS,
  }
}
