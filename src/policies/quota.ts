import { type Period, rememberPeriod } from "../lib/calendar.ts"
import { PRIORITIES } from "../observe/priority.ts"
import type { QuotaState, QuotaTake } from "../store/quota_usage.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { type Failure, fail } from "./failure.ts"
import { definePolicy, type PolicySteps } from "./policy.ts"
import { secondsOf, writeQuotaHeaders } from "./quota_headers.ts"
import { checkQuotas, limitFor, type QuotaOptions, QuotasSchema, quotasOf } from "./quota_options.ts"
import { compileSubject, type SubjectOf } from "./quota_subject.ts"

interface Quota {
  readonly options: QuotaOptions
  readonly subjectOf: SubjectOf
  readonly periodAt: (at: number) => Period
}

/** Units an exchange has taken. */
interface Taken {
  readonly quota: Quota
  readonly take: QuotaTake
  readonly state: QuotaState
}

/**
 * Limits how much callers may use in a day or another period of the calendar. The units are in the store: no crash
 * gives them back, and all workers of all machines share them. A request takes from all quotas of its route or from
 * none, before it is forwarded.
 */
export const quota = definePolicy({
  name: "quota",
  doc: "Limits how much callers may use a day, week or month (429): exact and durable, in the store.",
  failsClosed: true,
  schema: QuotasSchema,
  check: (options) => checkQuotas(quotasOf(options)),
  compile(options, { quotas, wallClock, identity }): PolicySteps {
    const all: readonly Quota[] = quotasOf(options).map((each) => ({
      options: each,
      subjectOf: compileSubject(each.by, identity.settings?.issuer),
      periodAt: rememberPeriod(each.per, each.timezone),
    }))
    const refusing = all.some(({ options: { on_failure } }) => on_failure === "refuse")
    const taken = new WeakMap<Exchange, readonly Taken[]>()

    async function take(
      exchange: Exchange,
      asked: Quota[],
      takes: QuotaTake[],
    ): Promise<Failure | undefined> {
      const answer = await quotas.take(takes)
      if (answer === undefined) return refusing ? UNKNOWN : undefined
      if (answer.refusing !== -1) return exceeded(exchange, asked, takes, answer.refusing, answer.states)
      const of = takes.map((each, i): Taken => ({ quota: asked[i]!, take: each, state: answer.states[i]! }))
      taken.set(exchange, of)
      return undefined
    }

    function exceeded(
      exchange: Exchange,
      asked: readonly Quota[],
      takes: readonly QuotaTake[],
      index: number,
      states: readonly QuotaState[],
    ): Failure {
      const { quota: name, periodEnd } = takes[index]!
      const { used, limit } = states[index]!
      const at = wallClock()
      if (asked[index]!.options.headers)
        writeQuotaHeaders([toldOf(takes[index]!, { used, limit }, at)], exchange)
      return fail("QUOTA_EXCEEDED", {
        details: { quota: name, limit, used, resets_at: new Date(periodEnd).toISOString() },
        retryAfterS: secondsOf(periodEnd - at),
      })
    }

    return {
      request(exchange) {
        const { principal } = exchange
        // Config is not taken without `auth` on the route, so this is a bug; nobody gets in by it.
        if (principal === undefined) return fail("AUTH_ERROR", { headers: { "www-authenticate": "Bearer" } })
        const at = wallClock()
        const asked: Quota[] = []
        const takes: QuotaTake[] = []
        for (const each of all) {
          const { name, cost, exempt } = each.options
          if (exempt.tiers.includes(principal.tier)) continue
          if (exempt.priority.includes(PRIORITIES[exchange.priority])) continue
          if (exempt.roles.some((role) => principal.roles.includes(role))) continue
          const { start, end } = each.periodAt(at)
          const subject = each.subjectOf(principal)
          const limit = limitFor(each.options, principal.tier)
          asked.push(each)
          takes.push({ quota: name, subject, periodStart: start, periodEnd: end, cost, limit })
        }
        return takes.length === 0 ? undefined : take(exchange, asked, takes)
      },
      response(exchange) {
        const mine = taken.get(exchange)
        if (mine === undefined) return
        const failed = hasFailed(exchange)
        const at = wallClock()
        const told = mine
          .filter((each) => each.quota.options.headers)
          .map(({ quota: { options: of }, take: wanted, state: { used, limit } }) =>
            toldOf(wanted, { used: failed && of.count === "success" ? used - wanted.cost : used, limit }, at),
          )
        writeQuotaHeaders(told, exchange)
      },
      done(exchange) {
        const mine = taken.get(exchange)
        if (mine === undefined || !hasFailed(exchange)) return
        const back = mine.filter((each) => each.quota.options.count === "success").map((each) => each.take)
        if (back.length > 0) quotas.giveBack(back)
      },
    }
  },
})

const UNKNOWN = fail("SERVICE_UNAVAILABLE", {
  message: "What you may still use cannot be told just now.",
  retryAfterS: 5,
  cause: "quotas cannot be asked: the store or the control plane does not answer",
})

/** A client that left before it was answered may have had what it wanted: that is no failure. */
function hasFailed({ answer }: Exchange): boolean {
  return answer !== undefined && answer.status >= 400
}

function toldOf({ quota: name, periodStart, periodEnd }: QuotaTake, state: QuotaState, at: number) {
  return { name, ...state, resetMs: periodEnd - at, periodMs: periodEnd - periodStart }
}
