import { bodyLength } from "../http1/body.ts"
import type { Principal } from "../identity/principal.ts"
import { AddressList } from "../lib/address_list.ts"
import { type HashKey, KeyedHash } from "../lib/keyed_hash.ts"
import { parseRate } from "../lib/rate.ts"
import type { LimitCount } from "../observe/limit_counts.ts"
import { priorityOf } from "../observe/priority.ts"
import { type Bucket, Decision, type LimitTable } from "../store/limit_table.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { compileKeyPart, type KeyPart } from "./limit_key.ts"
import { LimitLines } from "./limit_lines.ts"
import { type LimitOptions, nameOf, partsOf } from "./limit_options.ts"
import type { ExactAnswer, Limits } from "./limits.ts"
import type { PolicyRoute } from "./policy.ts"

/** A rate as it applies to some callers, with what is said of it in every answer. */
export interface RatedBucket extends Bucket {
  readonly burst: number
  /** `"name";q=100;w=60` of the field RateLimit-Policy. */
  readonly policyText: string
  /** `"name";r=`, which begins what RateLimit says. */
  readonly stateText: string
  /** The whole line X-RateLimit-Limit. */
  readonly limitLine: string
  /** Its header lines of late. */
  readonly said: LimitLines
  /** Takes from it whatever it holds. */
  readonly debt: Bucket
  /** Takes what will be there within `queue.timeout`; `undefined`: nobody waits. */
  readonly queue: Bucket | undefined
}

/** Nobody owes more buckets than this, whatever clock or rate put the debt there. */
const BUCKETS_OF_DEBT = 8
/** The same where each of several machines may fill one before they know of each other, for a minute at most. */
const SHARED_BUCKETS_OF_DEBT = 64
const SHARED_DEBT_MS = 60_000

const hash = new KeyedHash()

/** A caller's bucket and its key. */
interface Known {
  readonly bucket: RatedBucket
  readonly high: number
  readonly low: number
}

/** What a request has taken of a limit and may give back, also when other requests have been asked about since. */
export interface Place {
  readonly limit: Limit
  /** Whether the request waits for it. */
  readonly waits: boolean
  giveBack(): void
  /** How long the same would have to wait if it came anew, in ms. */
  retryAfterMs(nowMs: number): number
}

/**
 * One limit of a route. It also holds what it has found of the request at hand: all of a request's limits are
 * asked in one go, so nothing comes between.
 */
export class Limit {
  readonly name: string
  readonly enforced: boolean
  /** Redis is asked each time. */
  readonly exact: boolean
  readonly headers: boolean
  readonly count: LimitCount
  readonly decision = new Decision()
  /** Of the request at hand. */
  bucket: RatedBucket
  cost = 1
  /** How long the request must wait for what `take` has taken, in ms; 0: it need not. */
  waitMs = 0
  /** Requests that wait for it. */
  waiting = 0
  /** Longest wait, in ms; 0: nobody waits. */
  readonly queueMs: number
  readonly #maxWaiting: number
  #high = 0
  #low = 0

  readonly #table: LimitTable
  readonly #key: HashKey
  readonly #parts: readonly KeyPart[]
  readonly #base: RatedBucket
  readonly #byRole: readonly (readonly [role: string, bucket: RatedBucket])[]
  readonly #byTier: ReadonlyMap<string, RatedBucket>
  readonly #fixedCost: number
  /** Bytes a token pays for; 0: the cost is fixed. */
  readonly bytesPerToken: number
  readonly #exempt: ((exchange: Exchange) => boolean) | undefined
  /**
   * Where nothing but the caller decides whose bucket it is. A principal is the same object for every request with
   * the same proof.
   */
  readonly #known: WeakMap<Principal, Known> | undefined

  constructor(options: LimitOptions, limits: Limits, route: PolicyRoute) {
    this.name = nameOf(options)
    this.enforced = options.mode === "enforce"
    this.exact = options.exact && limits.exact !== undefined
    this.headers = options.headers
    this.count = limits.counter(this.name)
    this.#table = limits.table
    hash.start(limits.key).text(this.name).text(options.scope).text(placeOf(options, route)).finish()
    this.#key = [hash.high, hash.low]
    const overflow = hash.low
    const rated = (each: Pick<LimitOptions, "rate" | "burst">) =>
      compileBucket(this.name, each, overflow, options.queue?.timeout, limits.exact !== undefined, this.exact)
    const parts = partsOf(options)
    this.#parts = parts.map((part) => compileKeyPart(part, route))
    this.#known = parts.every((part) => part === "user") ? new WeakMap() : undefined
    this.#base = rated(options)
    this.#byRole = Object.entries(options.roles).map(([role, each]) => [role, rated(each)])
    this.#byTier = new Map(Object.entries(options.tiers).map(([tier, each]) => [tier, rated(each)]))
    this.#fixedCost = typeof options.cost === "number" ? options.cost : 1
    this.bytesPerToken = typeof options.cost === "number" ? 0 : options.cost.per_body
    this.queueMs = options.queue?.timeout ?? 0
    this.#maxWaiting = options.queue?.max ?? 0
    this.#exempt = compileExempt(options.exempt)
    this.bucket = this.#base
  }

  /** Finds out whose bucket the request is for and what it costs. `false`: it is not limited. */
  address(exchange: Exchange): boolean {
    if (this.#exempt?.(exchange)) return false
    const { principal } = exchange
    const known = principal === undefined ? undefined : this.#known?.get(principal)
    if (known !== undefined) {
      this.bucket = known.bucket
      this.#high = known.high
      this.#low = known.low
    } else this.#addressNew(exchange, principal)
    this.cost = this.bytesPerToken === 0 ? this.#fixedCost : this.#costOf(bodyLength(exchange.body) ?? 0)
    return true
  }

  #addressNew(exchange: Exchange, principal: Principal | undefined): void {
    const bucket = this.#bucketOf(principal)
    hash.start(this.#key)
    for (let i = 0; i < this.#parts.length; i++) this.#parts[i]!(hash, exchange)
    const { high, low } = hash.finish()
    this.bucket = bucket
    this.#high = high
    this.#low = low
    if (principal !== undefined) this.#known?.set(principal, { bucket, high, low })
  }

  /** Looks whether the bucket has the cost, or will have it in time; the answer is in `decision`. */
  peek(nowMs: number): boolean {
    const { decision, bucket } = this
    this.#table.peek(this.#high, this.#low, bucket, this.cost, nowMs, decision)
    if (decision.allowed || bucket.queue === undefined || this.waiting >= this.#maxWaiting)
      return decision.allowed
    return this.inTime
  }

  /** Takes the cost if the bucket has it, or will have it in time; the answer is in `decision`. */
  take(nowMs: number): boolean {
    const { decision, bucket } = this
    this.waitMs = 0
    this.#table.take(this.#high, this.#low, bucket, this.cost, nowMs, decision)
    if (!decision.allowed && bucket.queue !== undefined && this.waiting < this.#maxWaiting) {
      const { retryAfterMs } = decision
      this.#table.take(this.#high, this.#low, bucket.queue, this.cost, nowMs, decision)
      if (decision.allowed) {
        // What is taken in advance puts the next one behind: that is the queue.
        this.waitMs = decision.resetMs - bucket.toleranceMs
        decision.remaining = 0
      } else decision.retryAfterMs = retryAfterMs
    }
    if (decision.shared) this.count.overflowed()
    return decision.allowed
  }

  giveBack(): void {
    this.#table.giveBack(this.#high, this.#low, this.bucket, this.cost)
  }

  /** Asks all machines for what `take` has taken here. `undefined`: nobody knows. */
  askAll(ask: NonNullable<Limits["exact"]>): Promise<ExactAnswer | undefined> {
    const { toleranceMs, emissionMs, longestMs = toleranceMs } = this.bucket
    const chargeMs = this.cost * emissionMs
    return ask({ kind: "limit", high: this.#high, low: this.#low, chargeMs, toleranceMs, longestMs })
  }

  /**
   * Takes note of what all machines say, of the request that was addressed last; `undefined`: nothing. What they
   * know otherwise than it `passed` is told them later.
   */
  learn(answer: ExactAnswer | undefined, passed: boolean, nowMs: number): void {
    const table = this.#table
    const known = answer?.allowed ?? false
    if (known !== passed) table.note(this.#high, this.#low, this.bucket, passed ? this.cost : -this.cost)
    if (answer === undefined) return
    const slot = table.slotOf(this.#high, this.#low)
    if (slot !== -1) table.raise(slot, table.keyAt(slot), nowMs + answer.aheadMs)
  }

  /** Brings `decision` up to date after `learn`: it is what would come of asking once more. */
  look(nowMs: number): void {
    this.#table.peek(this.#high, this.#low, this.bucket, this.cost, nowMs, this.decision)
  }

  /** What the request at hand has taken. */
  place(): Place {
    const [high, low, bucket, cost, table] = [this.#high, this.#low, this.bucket, this.cost, this.#table]
    return {
      limit: this,
      waits: this.waitMs > 0,
      giveBack: () => table.giveBack(high, low, bucket, cost),
      retryAfterMs(nowMs) {
        const found = new Decision()
        table.peek(high, low, bucket, cost, nowMs, found)
        return found.retryAfterMs
      },
    }
  }

  /** Whose bucket the request at hand is for and what it costs: the same text, the same of both. */
  get placeText(): string {
    return `${this.name}/${this.#high}/${this.#low}/${this.cost}`
  }

  /** Whether the request at hand, refused, would have its turn within `queue.timeout` if there were a place. */
  get inTime(): boolean {
    const { queue, toleranceMs } = this.bucket
    return queue !== undefined && this.decision.retryAfterMs <= queue.toleranceMs - toleranceMs
  }

  /** Charges what a body has cost beyond what was taken before its length was known. */
  chargeRest(exchange: Exchange, nowMs: number): void {
    if (!this.address(exchange)) return
    const rest = this.#costOf(exchange.bytesIn) - this.#costOf(0)
    if (rest > 0) this.#table.take(this.#high, this.#low, this.bucket.debt, rest, nowMs, this.decision)
  }

  /** Never more than the bucket holds, or it could never pass. */
  #costOf(bytes: number): number {
    return Math.max(1, Math.min(Math.ceil(bytes / this.bytesPerToken), this.bucket.burst))
  }

  #bucketOf(principal: Principal | undefined): RatedBucket {
    if (principal === undefined) return this.#base
    for (let i = 0; i < this.#byRole.length; i++) {
      const row = this.#byRole[i]!
      if (principal.roles.includes(row[0])) return row[1]
    }
    return this.#byTier.get(principal.tier) ?? this.#base
  }
}

function placeOf({ scope }: LimitOptions, route: PolicyRoute): string {
  switch (scope) {
    case "route":
      return route.label
    case "service":
      return route.service
    case "global":
      return ""
  }
}

function compileBucket(
  name: string,
  { rate, burst: most }: Pick<LimitOptions, "rate" | "burst">,
  overflow: number,
  queueMs: number | undefined,
  shared: boolean,
  exact: boolean,
): RatedBucket {
  const parsed = parseRate(rate)
  if (typeof parsed === "string") throw new Error(`compiling rate_limit: ${parsed}`)
  const emissionMs = parsed.perMs / parsed.count
  const burst = most ?? parsed.count
  const toleranceMs = emissionMs * burst
  const debtMs = shared
    ? SHARED_BUCKETS_OF_DEBT * toleranceMs + SHARED_DEBT_MS
    : BUCKETS_OF_DEBT * toleranceMs
  const base = { emissionMs, longestMs: debtMs + (queueMs ?? 0), overflow }
  // As a string of a structured field (RFC 9651 section 3.3.3): names of claims may be anything.
  const quoted = `"${name.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, "_")}"`
  return {
    ...base,
    toleranceMs,
    exact,
    burst,
    policyText: `${quoted};q=${burst};w=${Math.max(1, Math.ceil(toleranceMs / 1000))}`,
    stateText: `${quoted};r=`,
    said: new LimitLines(),
    limitLine: `x-ratelimit-limit: ${burst}\r\n`,
    debt: { ...base, toleranceMs: Number.POSITIVE_INFINITY },
    queue: queueMs === undefined ? undefined : { ...base, toleranceMs: toleranceMs + queueMs },
  }
}

function compileExempt(exempt: LimitOptions["exempt"]): ((exchange: Exchange) => boolean) | undefined {
  const { roles, tiers, methods, paths } = exempt
  const classes = exempt.priority.map(priorityOf)
  const ips = exempt.ips.length === 0 ? undefined : new AddressList(exempt.ips)
  if (ips === undefined && [roles, tiers, methods, paths, classes].every((list) => list.length === 0))
    return undefined
  const exact = paths.filter((path) => !path.endsWith("/*"))
  const below = paths.filter((path) => path.endsWith("/*")).map((path) => path.slice(0, -1))
  return ({ principal, method, path, client, priority }) => {
    if (classes.includes(priority)) return true
    if (methods.includes(method) || exact.includes(path)) return true
    for (const prefix of below) if (path.startsWith(prefix)) return true
    if (principal !== undefined) {
      if (tiers.includes(principal.tier)) return true
      for (const role of roles) if (principal.roles.includes(role)) return true
    }
    return ips?.has(client) ?? false
  }
}
