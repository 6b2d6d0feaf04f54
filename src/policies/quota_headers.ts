import type { QuotaState } from "../store/quota_usage.ts"
import type { Exchange } from "../upstream/exchange.ts"

/** A quota as an answer tells of it. */
export interface ToldQuota extends QuotaState {
  readonly name: string
  /** Milliseconds from now to the end of the period, and of the whole period. */
  readonly resetMs: number
  readonly periodMs: number
}

/**
 * Tells the client of its quotas: `X-Quota-*` of the one with the fewest units left, all of them in
 * `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers), after the rate limits. Resets are seconds.
 */
export function writeQuotaHeaders(quotas: readonly ToldQuota[], { responseEdits }: Exchange): void {
  let tightest: ToldQuota | undefined
  for (const quota of quotas) {
    const { name, limit, resetMs, periodMs } = quota
    append(responseEdits, "ratelimit-policy", `"${name}";q=${limit};w=${Math.ceil(periodMs / 1000)}`)
    append(responseEdits, "ratelimit", `"${name}";r=${remaining(quota)};t=${secondsOf(resetMs)}`)
    if (tightest === undefined || remaining(quota) < remaining(tightest)) tightest = quota
  }
  if (tightest === undefined) return
  responseEdits.set("x-quota-limit", String(tightest.limit))
  responseEdits.set("x-quota-remaining", String(remaining(tightest)))
  responseEdits.set("x-quota-reset", String(secondsOf(tightest.resetMs)))
}

/** Never 0: whoever waits so long comes after the end. */
export const secondsOf = (ms: number): number => Math.max(1, Math.ceil(ms / 1000))

const remaining = ({ used, limit }: QuotaState): number => Math.max(0, limit - used)

/** One line with the list of all, as far as the gateway itself tells them. */
function append(edits: Exchange["responseEdits"], name: string, item: string): void {
  const { added } = edits
  const at = added.findIndex((each, i) => i % 2 === 0 && each === name)
  edits.set(name, at === -1 ? item : `${added[at + 1]}, ${item}`)
}
