import type { ErrorBody, ErrorCode } from "./wire.ts"

/**
 * What only the client can say: the connection was lost before the answer (`DISCONNECTED`), there was none in time
 * (`TIMEOUT`), `close()` or a final close code ended it (`CLOSED`), too much waits already (`OUTBOX_FULL`), or a message
 * was sent so long ago that sending it again might publish it twice (`OUTCOME_UNKNOWN`).
 */
export type ClientErrorCode = "DISCONNECTED" | "TIMEOUT" | "CLOSED" | "OUTBOX_FULL" | "OUTCOME_UNKNOWN"

/** What a method of the client rejects with, and what most `error` events hold. */
export class RealtimeError extends Error {
  readonly code: ErrorCode | ClientErrorCode
  /** The same may succeed a little later. */
  readonly temporary: boolean

  constructor(code: ErrorCode | ClientErrorCode, message: string, temporary: boolean) {
    super(message)
    this.name = "RealtimeError"
    this.code = code
    this.temporary = temporary
  }

  static of({ code, message, temporary }: ErrorBody): RealtimeError {
    return new RealtimeError(code, message, temporary)
  }
}
