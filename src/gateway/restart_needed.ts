import type { Config } from "../config/schema.ts"
import { MEMORY_BOUNDS } from "../realtime/channels/options.ts"

/** What is fixed while the process runs, by the names config gives it. */
const FIXED: readonly (readonly [name: string, read: (config: Config) => unknown])[] = [
  ["server.host", (config) => config.server.host],
  ["server.port", (config) => config.server.port],
  ["server.workers", (config) => config.server.workers],
  ["server.tls", (config) => config.server.tls !== undefined],
  ["server.tls.min_version", (config) => config.server.tls?.min_version],
  ["server.tls.client_ca", (config) => config.server.tls?.client_ca !== undefined],
  ["server.tls.client_cert", (config) => config.server.tls?.client_cert],
  ["server.http2", (config) => config.server.http2],
  ["server.redirect_port", (config) => config.server.redirect_port],
  ["server.keep_alive_timeout", (config) => config.server.keep_alive_timeout],
  ["server.body_timeout", (config) => config.server.body_timeout],
  ["server.min_body_rate", (config) => config.server.min_body_rate],
  ["server.websocket.max_message", (config) => config.server.websocket.max_message],
  ["server.websocket.compression", (config) => config.server.websocket.compression],
  ["admin.host", (config) => config.admin.host],
  ["admin.port", (config) => config.admin.port],
  ["store", (config) => config.store],
  ["limits.max_keys", (config) => config.limits.max_keys],
  ["redis", (config) => JSON.stringify(config.redis)],
  ["realtime.max_channels", ({ realtime = MEMORY_BOUNDS }) => realtime.max_channels],
  ["realtime.max_memory", ({ realtime = MEMORY_BOUNDS }) => realtime.max_memory],
  // What tells other gateways of them is opened at the start.
  ["safety.events", ({ safety, redis }) => redis !== undefined && safety?.events !== undefined],
  ["log.level", (config) => config.log.level],
  ["store", (config) => config.store],
]

/** Names of the settings that differ between the configuration at start and this one and need a restart. */
export function restartNeeded(started: Config, next: Config): readonly string[] {
  return FIXED.filter(([, read]) => read(started) !== read(next)).map(([name]) => name)
}
