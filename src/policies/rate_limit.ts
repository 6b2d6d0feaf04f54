import type { Priority } from "../observe/priority.ts"
import type { Exchange } from "../upstream/exchange.ts"
import type { Failure } from "./failure.ts"
import { Limit } from "./limit.ts"
import { writeLimitHeaders } from "./limit_headers.ts"
import { checkLimits, LimitsSchema, limitsOf } from "./limit_options.ts"
import { LimitQueue, waitOf } from "./limit_queue.ts"
import { refuseFor } from "./limit_refusal.ts"
import type { ExactAnswer, Limits } from "./limits.ts"
import { definePolicy, type PolicySteps } from "./policy.ts"

/**
 * Limits how often callers may come. A request needs room in all limits of its route and is charged to all of them
 * or to none: all are looked at first, so that a refusal writes nothing, and only then taken. Should another thread
 * empty one of them in between, those taken are given back; until then, others may find them emptier than they are.
 */
export const rateLimit = definePolicy({
  name: "rate_limit",
  doc: "Limits how often callers may come (429): token buckets, exact over all workers.",
  // A bug in counting should not take the services down that it protects.
  failsClosed: false,
  schema: LimitsSchema,
  check: (options, route) => checkLimits(limitsOf(options), route),
  compile(options, { limits: shared, now }, route): PolicySteps {
    const all = limitsOf(options).map((each) => new Limit(each, shared, route))
    const enforced = all.filter((limit) => limit.enforced)
    const shadows = all.filter((limit) => !limit.enforced)
    const queued = enforced.filter((limit) => limit.queueMs > 0)
    const queue = queued.length === 0 ? undefined : new LimitQueue(queued, shared, now)
    const asksAll = enforced.some((limit) => limit.exact)
    /** Of the request at hand: the limits it is not exempt from. */
    const asked: Limit[] = []

    function request(exchange: Exchange): Failure | undefined | Promise<Failure | undefined> {
      const nowMs = now()
      asked.length = 0
      for (let i = 0; i < enforced.length; i++) if (enforced[i]!.address(exchange)) asked.push(enforced[i]!)
      const refusing = takeAll(asked, queue, exchange.priority, nowMs)
      writeLimitHeaders(asked, refusing, exchange)
      if (refusing !== undefined)
        return refuseFor(refusing, refusing.decision.retryAfterMs, exchange, shared.log)
      if (asksAll && asked.some((limit) => limit.exact)) return askAll(exchange, [...asked])
      return admit(exchange, nowMs)
    }

    /** After this machine has admitted it. Others are asked about meanwhile, so what limits hold is found again. */
    async function askAll(exchange: Exchange, mine: readonly Limit[]): Promise<Failure | undefined> {
      const asking = mine.filter((limit) => limit.exact)
      const answers = await askInTime(asking, shared)
      const nowMs = now()
      let refusing: Limit | undefined
      for (const limit of mine) limit.address(exchange)
      const refused = asking.filter((_, i) => answers[i]?.allowed === false)
      if (refused.length > 0) for (const limit of mine) limit.giveBack()
      for (const [i, limit] of asking.entries()) limit.learn(answers[i], refused.length === 0, nowMs)
      for (const limit of mine) limit.look(nowMs)
      for (const limit of refused)
        if (refusing === undefined || limit.decision.retryAfterMs > refusing.decision.retryAfterMs)
          refusing = limit
      writeLimitHeaders(mine, refusing, exchange)
      if (refusing !== undefined)
        return refuseFor(refusing, refusing.decision.retryAfterMs, exchange, shared.log)
      asked.length = 0
      asked.push(...mine)
      return admit(exchange, nowMs)
    }

    function admit(exchange: Exchange, nowMs: number): Failure | undefined | Promise<Failure | undefined> {
      for (let i = 0; i < asked.length; i++) {
        const limit = asked[i]!
        if (limit.waitMs > 0) limit.count.queued()
        else limit.count.allowed()
      }
      for (let i = 0; i < shadows.length; i++) {
        const limit = shadows[i]!
        if (!limit.address(exchange)) continue
        if (limit.take(nowMs)) limit.count.allowed()
        else {
          limit.count.shadowed()
          shared.log.exceeded(limit.name, "shadow", exchange)
        }
      }
      const waitMs = waitOf(asked)
      return waitMs === 0 ? undefined : queue!.wait(exchange, asked, waitMs)
    }

    const byBody = all.filter((limit) => limit.bytesPerToken > 0)
    if (byBody.length === 0) return { request }
    return {
      request,
      // A body that told no length is charged when it is known how long it was.
      done(exchange) {
        if (exchange.bytesIn === 0 || exchange.failure === "RATE_LIMITED") return
        if (exchange.header("content-length") !== undefined) return
        for (const limit of byBody) limit.chargeRest(exchange, now())
      },
    }
  },
})

/** Longest wait for the answer of other machines, in ms. */
const PATIENCE_MS = 50

/** The answers there are in time; one after another is `undefined` when it is not. */
async function askInTime(
  asking: readonly Limit[],
  { exact, after }: Limits,
): Promise<readonly (ExactAnswer | undefined)[]> {
  const answers: (ExactAnswer | undefined)[] = asking.map(() => undefined)
  const late = Promise.withResolvers<void>()
  const cancel = after(PATIENCE_MS, late.resolve)
  const all = Promise.all(
    asking.map(async (limit, i) => {
      answers[i] = await limit.askAll(exact!)
    }),
  )
  await Promise.race([all, late.promise])
  cancel()
  // Those that come later change nothing any more.
  return [...answers]
}

/**
 * Takes from all, or from none: then the one that makes the client wait longest is returned. Where one has no room,
 * somebody less important who waits in `queue` may have to give way.
 */
function takeAll(
  limits: readonly Limit[],
  queue: LimitQueue | undefined,
  priority: Priority,
  nowMs: number,
): Limit | undefined {
  if (limits.length > 1) {
    let refusing: Limit | undefined
    for (let i = 0; i < limits.length; i++) {
      const limit = limits[i]!
      if (limit.peek(nowMs) || queue?.hasRoom(limit, priority)) continue
      if (refusing === undefined || limit.decision.retryAfterMs > refusing.decision.retryAfterMs)
        refusing = limit
    }
    if (refusing !== undefined) return refusing
  }
  for (let i = 0; i < limits.length; i++) {
    const limit = limits[i]!
    if (limit.take(nowMs)) continue
    if (queue?.makeRoom(limit, priority) && limit.take(nowMs)) continue
    for (let j = 0; j < i; j++) limits[j]!.giveBack()
    return limit
  }
  return undefined
}
