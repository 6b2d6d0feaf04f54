import type { Clock } from "../lib/clock.ts"
import type { Log } from "../observe/log.ts"
import type { StoreError, StoreErrorKind } from "./sql.ts"

/** A kind of failure that goes on is told this often. */
const EVERY_MS = 60_000

/** Tells the log of statements that fail: the first of a kind at once, then at most one line a minute. */
export function createFailureLog(log: Log, now: Clock): (error: StoreError) => void {
  const told = new Map<StoreErrorKind, { at: number; since: number }>()
  return (error) => {
    // What the caller asked for may be there already: no trouble of the store.
    if (error.kind === "conflict") return
    const before = told.get(error.kind)
    if (before !== undefined && now() - before.at < EVERY_MS) {
      before.since++
      return
    }
    told.set(error.kind, { at: now(), since: 0 })
    log.error("store.failing", { kind: error.kind, reason: error.message, untold: before?.since ?? 0 })
  }
}
