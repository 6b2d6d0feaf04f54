import type { Log, LogFields } from "../../src/observe/log.ts"

export interface LoggedEvent {
  readonly level: keyof Log
  readonly event: string
  readonly fields: LogFields
}

/** A log that keeps what it is told. */
export function memoryLog(): Log & { readonly events: LoggedEvent[] } {
  const events: LoggedEvent[] = []
  const at =
    (level: keyof Log) =>
    (event: string, fields: LogFields = {}) =>
      void events.push({ level, event, fields })
  return { events, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") }
}
