import type { LogEvent } from "./log_events.ts"

/** A structured log for operators: one JSON line an event. */
export interface Log {
  debug(event: LogEvent, fields?: LogFields): void
  info(event: LogEvent, fields?: LogFields): void
  warn(event: LogEvent, fields?: LogFields): void
  error(event: LogEvent, fields?: LogFields): void
}
export type LogFields = Readonly<Record<string, unknown>>
