import { LineNames } from "../http1/fields.ts"
import type { Exchange } from "../upstream/exchange.ts"
import type { Limit } from "./limit.ts"

const NAMES = new LineNames([
  "x-ratelimit-limit",
  "x-ratelimit-remaining",
  "x-ratelimit-reset",
  "ratelimit-policy",
  "ratelimit",
])

/**
 * Tells the client of its limits: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers,
 * structured fields) of all of them, `X-RateLimit-*` of the tightest one, which is the one that refuses, else the
 * one with room for the fewest requests like this. `q` is the burst and `w` the seconds a whole bucket takes to
 * fill; `r` the tokens left, `t` and `X-RateLimit-Reset` the seconds until the bucket is full.
 */
export function writeLimitHeaders(
  limits: readonly Limit[],
  refusing: Limit | undefined,
  { responseEdits }: Exchange,
): void {
  const lines = limits.length === 1 ? linesOfOne(limits[0]!) : linesOf(limits, refusing)
  // Names and numbers: nothing in them needs to be looked at.
  if (lines !== "") responseEdits.put(NAMES, lines)
}

/** A limit says the same again and again: what it said lately is kept. */
function linesOfOne(limit: Limit): string {
  if (!limit.headers) return ""
  const { remaining, resetMs } = limit.decision
  const { said } = limit.bucket
  const resetS = Math.ceil(resetMs / 1000)
  const known = said.find(remaining, resetS)
  if (known !== undefined) return known
  const lines = linesOf([limit], undefined)
  said.keep(remaining, resetS, lines)
  return lines
}

/** "": none of them has headers. */
function linesOf(limits: readonly Limit[], refusing: Limit | undefined): string {
  let tightest: Limit | undefined
  let line = ""
  let policies = ""
  let states = ""
  for (let i = 0; i < limits.length; i++) {
    const limit = limits[i]!
    if (!limit.headers) continue
    const { policyText, stateText } = limit.bucket
    const { remaining, resetMs } = limit.decision
    const left = String(remaining)
    const reset = String(Math.ceil(resetMs / 1000))
    const state = `${stateText}${left};t=${reset}`
    policies = policies === "" ? policyText : `${policies}, ${policyText}`
    states = states === "" ? state : `${states}, ${state}`
    if (tightest === undefined || isTighter(limit, tightest, refusing)) {
      tightest = limit
      line = `${limit.bucket.limitLine}x-ratelimit-remaining: ${left}\r\nx-ratelimit-reset: ${reset}\r\n`
    }
  }
  return tightest === undefined ? "" : `${line}ratelimit-policy: ${policies}\r\nratelimit: ${states}\r\n`
}

function isTighter(a: Limit, b: Limit, refusing: Limit | undefined): boolean {
  if (b === refusing) return false
  return a === refusing || a.decision.remaining / a.cost < b.decision.remaining / b.cost
}
