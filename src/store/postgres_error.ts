import { StoreError, type StoreErrorKind } from "./sql.ts"

/** By SQLSTATE (postgresql.org/docs/current/errcodes-appendix.html). */
const STATES: Readonly<Record<string, StoreErrorKind>> = {
  // protocol_violation: too few or too many values
  "08P01": "failed",
  "23505": "conflict",
  // serialization_failure, deadlock_detected, lock_not_available, query_canceled (by a timeout)
  "40001": "busy",
  "40P01": "busy",
  "55P03": "busy",
  "57014": "busy",
  "25006": "read_only",
  "53100": "full",
  // A database that is not there.
  "3D000": "unavailable",
  XX001: "corrupt",
  XX002: "corrupt",
}
/** By the first two characters: connection, authorization, resources, intervention by an operator. */
const CLASSES: Readonly<Record<string, StoreErrorKind>> = {
  "08": "unavailable",
  "28": "unavailable",
  "53": "unavailable",
  "57": "unavailable",
}

/** An error of PostgreSQL, or of the connection to it, in the words of the store. */
export function explainPostgres(error: unknown): StoreError {
  if (error instanceof StoreError) return error
  if (!(error instanceof Error)) return new StoreError("failed", `asking PostgreSQL: ${String(error)}`)
  const { code = "", errno } = error as Error & { code?: string; errno?: string | number }
  if (typeof errno === "string" && /^[0-9A-Z]{5}$/.test(errno)) {
    const class_ = errno.slice(0, 2)
    // A prepared statement whose table has changed since, as by a newer gateway: a new connection prepares it anew.
    if (errno === "0A000" && error.message.includes("cached plan"))
      return new StoreError("unavailable", `asking PostgreSQL: ${error.message} (${errno})`)
    const kind = STATES[errno] ?? CLASSES[class_] ?? "failed"
    // Class 22 is about values, and quotes them.
    const text = class_ === "22" ? "a value does not fit its type" : error.message
    return new StoreError(kind, `asking PostgreSQL: ${text} (${errno})`)
  }
  const kind = /CONNECT|TIMEOUT|TLS|SSL|AUTHENTICATION|^E[A-Z]+$/.test(code) ? "unavailable" : "failed"
  return new StoreError(kind, `asking PostgreSQL: ${error.message}${code === "" ? "" : ` (${code})`}`)
}
